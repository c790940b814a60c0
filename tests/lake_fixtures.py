"""Fixtures for tests with a lake: one Spark session for all of them, on the session's own PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from recloop.settings import Settings
from tests.lake import drop_tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(base_stack: Settings) -> Iterator[SparkSession]:
    """The one Spark session; folders that import this fixture get the same one."""
    from jobs.etl.spark import start_spark

    session = start_spark("tests", base_stack)
    # To compile each query to Java takes longer than to interpret it over a handful of rows; the loop's test compiles.
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    yield session
    session.stop()


@pytest.fixture
def empty_lake(spark: SparkSession) -> SparkSession:
    """The session on a lake without tables."""
    spark.catalog.clearCache()
    drop_tables(spark)
    return spark
