"""Which users' sequences are recomputed, and from which events."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobs.etl.user_sequences import HASH, interactions, of_active_users, user_recent, with_hash
from recloop.sequences import event_hash
from tests.lake import DAY_0, clean_frame, event

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
DAY = timedelta(days=1)


def test_active_user_brings_all_its_past_and_others_none(spark: SparkSession) -> None:
    log = [
        event("old", "click", user="active"),
        event("new", "click", user="active", at=DAY_0 + 5 * DAY),
        event("after", "click", user="active", at=DAY_0 + 6 * DAY),
        event("idle", "click", user="idle"),
    ]
    rows = of_active_users(clean_frame(spark, log), since=DAY_0 + 5 * DAY, end=DAY_0 + 6 * DAY)
    assert {row["event_id"] for row in rows.collect()} == {"old", "new"}


def test_user_with_impressions_only_has_no_sequence(spark: SparkSession) -> None:
    log = [event("a", "impression", user="looker"), event("b", "click", user="doer")]
    assert [row["user_id"] for row in user_recent(clean_frame(spark, log), now=DAY_0).collect()] == ["doer"]


def test_hash_is_the_kernels(spark: SparkSession) -> None:
    rows = with_hash(interactions(clean_frame(spark, [event("x-1", "save")]))).collect()
    assert [row[HASH] for row in rows] == [event_hash("x-1")]
