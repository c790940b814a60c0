"""What feature_store.yaml leaves open is exactly what the environment gives."""

from __future__ import annotations

import re

import yaml
from pydantic import SecretStr

from recloop.feast_env import FEATURE_REPO, feast_environment
from recloop.settings import Settings

SETTINGS = Settings(redis_address="cache:6379", redis_password=SecretStr("geheim"))


def test_every_variable_of_the_yaml_is_given_and_no_other() -> None:
    named = set(re.findall(r"\$\{(\w+)\}", (FEATURE_REPO / "feature_store.yaml").read_text()))
    assert named
    # The comment's "${…}" is no variable.
    assert feast_environment(SETTINGS).keys() == named


def test_yaml_holds_no_secret_and_no_address() -> None:
    text = (FEATURE_REPO / "feature_store.yaml").read_text()
    assert not re.search(r"password=\w|127\.0\.0\.1|://", text)


def test_online_store_is_opened_with_its_password() -> None:
    assert feast_environment(SETTINGS)["RECLOOP_FEAST_ONLINE"] == '"cache:6379,password=geheim"'
    limited = feast_environment(SETTINGS, redis={"socket_timeout": "2"})["RECLOOP_FEAST_ONLINE"]
    assert limited == '"cache:6379,password=geheim,socket_timeout=2"'


def test_yaml_gives_a_password_back_whatever_it_holds() -> None:
    password = """it's "a": {tricky} #1 \\ one"""
    given = feast_environment(SETTINGS.model_copy(update={"redis_password": SecretStr(password)}))
    text = (FEATURE_REPO / "feature_store.yaml").read_text()
    for name, value in given.items():
        text = text.replace(f"${{{name}}}", value)
    assert yaml.safe_load(text)["online_store"]["connection_string"] == f"cache:6379,password={password}"


def test_process_that_starts_no_spark_gets_no_lake_password() -> None:
    settings = SETTINGS.model_copy(update={"postgres_password": SecretStr("lakepw")})
    assert feast_environment(settings)["RECLOOP_FEAST_SPARK_CONF"] == "{}"
