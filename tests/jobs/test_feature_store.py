"""The feature store opens on the servers of the settings it is given, in the Spark session that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from jobs.etl.feature_store import open_feature_store
from recloop.features import FEATURE_VIEWS
from recloop.settings import Database, Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]


def test_settings_decide_where_the_stores_are(base_stack: Settings) -> None:
    store = open_feature_store(base_stack)
    password = base_stack.redis_password.get_secret_value()
    assert store.config.online_store.connection_string == f"{base_stack.redis},password={password}"
    assert store.config.registry.path == base_stack.postgres_url(Database.FEAST, driver="postgresql+psycopg")


def test_second_opening_forgets_the_settings_of_the_first(base_stack: Settings) -> None:
    other = {"redis_address": "10.0.0.1:6379", "redis_password": SecretStr("pass$word #1: x")}
    elsewhere = open_feature_store(base_stack.model_copy(update=other))
    assert elsewhere.config.online_store.connection_string == "10.0.0.1:6379,password=pass$word #1: x"
    assert base_stack.redis in open_feature_store(base_stack).config.online_store.connection_string


def test_offline_reads_share_the_running_session(empty_lake: SparkSession, base_stack: Settings) -> None:
    from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
        get_spark_session_or_start_new_with_repoconfig,
    )

    store = open_feature_store(base_stack)
    session = get_spark_session_or_start_new_with_repoconfig(store.config.offline_store)
    assert session.sparkContext.applicationId == empty_lake.sparkContext.applicationId


def test_what_was_applied_is_found_again(empty_lake: SparkSession, base_stack: Settings) -> None:
    from jobs.etl.apply_features import apply

    apply(empty_lake, base_stack)
    views = {view.name for view in open_feature_store(base_stack).list_all_feature_views()}
    assert views == {view.name for view in FEATURE_VIEWS}
