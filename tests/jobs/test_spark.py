"""The Spark session that every batch job starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest

from jobs.etl.spark import spark_session
from recloop.errors import ComponentUnavailable
from recloop.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""  # it ended meanwhile, and its command line with it


@pytest.mark.spark
@pytest.mark.stack
def test_no_password_is_on_a_command_line(spark: SparkSession, base_stack: Settings) -> None:
    lines = [command_line(process) for process in psutil.Process().children(recursive=True)]
    assert any("org.apache.spark" in line for line in lines)
    assert [line for line in lines if base_stack.postgres_password.get_secret_value() in line] == []


@pytest.mark.spark
@pytest.mark.stack
def test_lake_is_open_and_times_are_utc(spark: SparkSession) -> None:
    assert spark.sql("SHOW CATALOGS").where("catalog = 'spark_catalog'").count() == 1
    assert spark.sql("SHOW NAMESPACES IN lake").count() >= 0
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


def test_catalogue_that_is_down_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECLOOP_POSTGRES_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ComponentUnavailable, match="make up"), spark_session("test", Settings()):
        pass
