"""A user's newest 100 interactions out of the lake: what the stream holds, recomputed by the same rule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from recloop.events import Action
from recloop.sequences import MAX_ACTIONS, event_hash
from recloop.tables import CLEAN_EVENTS, Column

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

TIME_MS, HASH = "event_time_ms", "event_hash"


def interactions(events: DataFrame) -> DataFrame:
    """Return the interactions among clean events: user, item, action, time in ms, dwell (0: none), event id."""
    from pyspark.sql import functions as F

    return events.where(F.col(Column.ACTION) != Action.IMPRESSION).select(
        Column.USER_ID,
        Column.ITEM_ID,
        Column.ACTION,
        F.unix_millis(Column.EVENT_TIME).alias(TIME_MS),
        F.coalesce(Column.DWELL_MS, F.lit(0).cast("bigint")).alias(Column.DWELL_MS),
        Column.EVENT_ID,
    )


def with_hash(rows: DataFrame) -> DataFrame:
    """Put the kernel's hash in the place of the event id; Spark has no BLAKE2."""

    def hash_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            hashes = pa.array([event_hash(each) for each in batch.column(Column.EVENT_ID).to_pylist()], pa.int64())
            kept = batch.drop_columns([Column.EVENT_ID])
            yield kept.append_column(HASH, hashes)

    schema = ", ".join(f"{name} {kind}" for name, kind in rows.dtypes if name != Column.EVENT_ID)
    return rows.mapInArrow(hash_batches, f"{schema}, {HASH} bigint")


def user_recent(events: DataFrame, *, now: datetime) -> DataFrame:
    """Return the rows of the view `user_recent`: one per user with an interaction, as of its newest."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    newest = Window.partitionBy(Column.USER_ID).orderBy(F.desc(TIME_MS))
    # rank() keeps ties, so that the hash decides between them as in the kernel.
    near = (
        interactions(events).withColumn("place", F.rank().over(newest)).where(f"place <= {MAX_ACTIONS}").drop("place")
    )
    entry = F.struct(TIME_MS, HASH, Column.ITEM_ID, Column.ACTION, Column.DWELL_MS)
    entries = with_hash(near).groupBy(Column.USER_ID).agg(F.sort_array(F.collect_list(entry)).alias("entries"))
    last = entries.withColumn(
        "entries", F.slice("entries", F.greatest(-F.size("entries"), F.lit(-MAX_ACTIONS)), MAX_ACTIONS)
    )
    return last.select(
        Column.USER_ID,
        F.timestamp_millis(F.array_max(f"entries.{TIME_MS}")).alias(Column.FEATURE_TIME),
        F.lit(now).alias(Column.CREATED_AT),
        F.col(f"entries.{Column.ITEM_ID}").alias("recent_items"),
        F.col(f"entries.{Column.ACTION}").alias("recent_actions"),
        F.col(f"entries.{TIME_MS}").alias("recent_times_ms"),
        F.col(f"entries.{Column.DWELL_MS}").alias("recent_dwell_ms"),
    )


def of_active_users(events: DataFrame, *, since: datetime, end: datetime) -> DataFrame:
    """Return all events before `end` of the users with one on or after the day of `since`."""
    from pyspark.sql import functions as F

    past = events.where((F.col(Column.EVENT_DATE) <= F.lit(end.date())) & (F.col(Column.EVENT_TIME) < F.lit(end)))
    active = past.where(F.col(Column.EVENT_DATE) >= F.lit(since.date())).select(Column.USER_ID).distinct()
    return past.join(active, Column.USER_ID, "left_semi").select(*CLEAN_EVENTS.columns)
