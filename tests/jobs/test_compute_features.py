"""The feature job over the lake: own days only, the same again, nothing bad published. Numbers: tests/parity."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from jobs.etl.compute_features import complete_days, compute_features, publish, stamp
from jobs.etl.lake import append, snapshot_id
from recloop.errors import ValidationFailed
from recloop.features import ITEM_DAILY, USER_DAILY
from recloop.tables import CLEAN_EVENTS
from tests.lake import DAY_0, clean_frame, event

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = timedelta(days=1)


def test_only_days_that_end_by_the_end_are_complete() -> None:
    assert complete_days(DAY_0, DAY_0 + DAY) == (date(2022, 5, 1), date(2022, 5, 1))
    assert complete_days(DAY_0, DAY_0 + 2 * DAY - timedelta(milliseconds=1)) == (date(2022, 5, 1), date(2022, 5, 1))
    assert complete_days(DAY_0 + DAY / 2, DAY_0 + 2 * DAY) == (date(2022, 5, 1), date(2022, 5, 2))
    assert complete_days(DAY_0, DAY_0 + DAY / 2) is None


@pytest.mark.spark
@pytest.mark.stack
class TestJob:
    def compute(self, spark: SparkSession, first: int, last: int) -> int:
        return compute_features(
            spark, start=DAY_0 + first * DAY, end=DAY_0 + last * DAY, now=DAY_0 + 9 * DAY, as_scheduled=False
        ).rows_out

    def content(self, spark: SparkSession) -> list[str]:
        rows = spark.table(USER_DAILY.table.full_name).orderBy("user_id", "feature_time").collect()
        return [str(row) for row in rows]

    def test_rerun_of_one_day_changes_that_day_only(self, empty_lake: SparkSession) -> None:
        log = [event(f"e{n}", "click", at=DAY_0 + n * DAY, user=user) for n in range(3) for user in ("u", "v")]
        append(
            clean_frame(
                empty_lake, [each.model_copy(update={"event_id": f"{each.event_id}-{each.user_id}"}) for each in log]
            ),
            CLEAN_EVENTS,
        )
        # 2 users, 1 item and 1 segment (everyone) on 3 days
        assert self.compute(empty_lake, 0, 3) == (2 + 1 + 1) * 3
        before = self.content(empty_lake)
        assert self.compute(empty_lake, 1, 2) == 2 + 1 + 1
        assert self.content(empty_lake) == before
        append(clean_frame(empty_lake, [event("late", "hide", at=DAY_0 + DAY, user="u", item="j")]), CLEAN_EVENTS)
        self.compute(empty_lake, 1, 2)
        changed = [old != new for old, new in zip(before, self.content(empty_lake), strict=True)]
        # u's three days, then v's: the late event is u's, on day 1; day 2 waits for its own run.
        assert changed == [False, True, False, False, False, False]

    def test_interval_without_a_complete_day_writes_nothing(self, empty_lake: SparkSession) -> None:
        append(clean_frame(empty_lake, [event("a", "click")]), CLEAN_EVENTS)
        outcome = compute_features(empty_lake, start=DAY_0, end=DAY_0 + DAY / 2, now=DAY_0 + DAY, as_scheduled=False)
        assert outcome.rows_out == 0
        assert not empty_lake.catalog.tableExists(USER_DAILY.table.full_name)

    def test_impossible_rate_stops_before_publishing(self, empty_lake: SparkSession) -> None:
        append(clean_frame(empty_lake, [event("a", "click")]), CLEAN_EVENTS)
        self.compute(empty_lake, 0, 1)
        before = snapshot_id(empty_lake, ITEM_DAILY.table)
        rows = empty_lake.table(ITEM_DAILY.table.full_name).selectExpr(
            *(f"2.0 AS {name}" if name == "item_click_rate" else str(name) for name in ITEM_DAILY.table.columns)
        )
        day = DAY_0.date()
        with pytest.raises(ValidationFailed, match="item_click_rate"):
            publish(ITEM_DAILY, stamp(rows, now=DAY_0 + DAY, as_scheduled=False), first=day, last=day)
        assert snapshot_id(empty_lake, ITEM_DAILY.table) == before
