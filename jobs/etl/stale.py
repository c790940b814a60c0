"""Which feature rows the online store does not have yet, remembered in the feature table itself.

A job that writes feature rows lowers the mark to the oldest moment it wrote; materialize_features copies from the mark
on and raises it. So a backfill of old days, or a rerun, reaches the online store as surely as the newest day.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from recloop.clock import format_time, parse_time
from recloop.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROPERTY = "recloop.stale-since"


def stale_since(spark: SparkSession, table: Table) -> datetime | None:
    """Return the moment from which rows are to be copied; None when there are none."""
    properties = spark.sql(f"SHOW TBLPROPERTIES {table.full_name}").collect()
    text = next((row["value"] for row in properties if row["key"] == PROPERTY), "")
    return parse_time(text) if text else None


def mark_stale(spark: SparkSession, table: Table, *, since: datetime) -> None:
    """Remember that rows from `since` on are to be copied; an older mark stays."""
    known = stale_since(spark, table)
    if known is None or since < known:
        set_mark(spark, table, since)


def set_mark(spark: SparkSession, table: Table, since: datetime) -> None:
    """Set the mark: rows before `since` are in the online store."""
    spark.sql(f"ALTER TABLE {table.full_name} SET TBLPROPERTIES ('{PROPERTY}' = '{format_time(since)}')")
