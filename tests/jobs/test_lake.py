"""Writes of the lake: one commit each, whole partitions, and pyiceberg reads what Spark wrote."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from jobs.etl.lake import append, date_ranges, overwrite_dates, replace_feature_rows, snapshot_id
from recloop.features import SEGMENT_DAILY
from recloop.lake import iceberg_properties
from recloop.settings import Settings
from recloop.tables import CATALOG, CLEAN_EVENTS
from tests.lake import DAY_0, clean_frame, event, frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = timedelta(days=1)


def test_runs_of_days_across_a_month() -> None:
    days = [date(2022, 5, 1), date(2022, 4, 30), date(2022, 5, 3), date(2022, 5, 1)]
    assert date_ranges(days) == [(date(2022, 4, 30), date(2022, 5, 1)), (date(2022, 5, 3), date(2022, 5, 3))]
    assert date_ranges([]) == []


@pytest.mark.spark
@pytest.mark.stack
class TestTables:
    table = SEGMENT_DAILY.table

    def rows(self, spark: SparkSession, *values: tuple[str, int, float]) -> DataFrame:
        full = [(segment, DAY_0 + day * DAY, DAY_0, ["i"], [weight]) for segment, day, weight in values]
        return frame_of(spark, full, self.table.ddl)

    def content(self, spark: SparkSession) -> set[tuple[str, int, float]]:
        found = spark.table(self.table.full_name).collect()
        return {
            (row["segment"], (row["feature_time"].replace(tzinfo=DAY_0.tzinfo) - DAY_0).days, row["popular_weights"][0])
            for row in found
        }

    def test_overwritten_dates_lose_their_rows_even_when_none_come(self, empty_lake: SparkSession) -> None:
        append(clean_frame(empty_lake, [event("a", "click"), event("b", "click", at=DAY_0 + DAY)]), CLEAN_EVENTS)
        new = clean_frame(empty_lake, [event("c", "click", at=DAY_0 + DAY)])
        overwrite_dates(new, CLEAN_EVENTS, [DAY_0.date(), (DAY_0 + DAY).date()])
        assert [row["event_id"] for row in empty_lake.table(CLEAN_EVENTS.full_name).collect()] == ["c"]

    def test_feature_rows_of_the_span_are_replaced_and_no_others(self, empty_lake: SparkSession) -> None:
        first = self.rows(empty_lake, ("x", 1, 1.0), ("x", 2, 1.0), ("y", 2, 1.0), ("x", 3, 1.0))
        replace_feature_rows(first, self.table, after=DAY_0, until=DAY_0 + 3 * DAY)
        # A rerun of day 2: x changes, y is gone, z is new; feature_time is the end of the day, so the span is (1, 2].
        again = self.rows(empty_lake, ("x", 2, 2.0), ("z", 2, 2.0))
        before = snapshot_id(empty_lake, self.table)
        replace_feature_rows(again, self.table, after=DAY_0 + DAY, until=DAY_0 + 2 * DAY)
        assert self.content(empty_lake) == {("x", 1, 1.0), ("x", 2, 2.0), ("z", 2, 2.0), ("x", 3, 1.0)}
        history = empty_lake.sql(f"SELECT snapshot_id FROM {self.table.full_name}.history").collect()
        assert [str(row[0]) for row in history][-2:] == [before, snapshot_id(empty_lake, self.table)]

    def test_pyiceberg_reads_what_spark_wrote(self, empty_lake: SparkSession, base_stack: Settings) -> None:
        from pyiceberg.catalog import load_catalog

        append(clean_frame(empty_lake, [event("a", "click")]), CLEAN_EVENTS)
        table = load_catalog(CATALOG, **iceberg_properties(base_stack)).load_table(CLEAN_EVENTS.name)
        snapshot = table.current_snapshot()
        assert snapshot is not None
        assert str(snapshot.snapshot_id) == snapshot_id(empty_lake, CLEAN_EVENTS)
        assert table.scan().to_arrow()["event_id"].to_pylist() == ["a"]
