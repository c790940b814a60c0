"""Touches: one per user, item and day, with the outcome of all its events; sums that fade by halves."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from jobs.etl.touches import DAY, daily_touches, day_number, decayed_sums, faded, feature_time, head_conditions, rates
from recloop.clock import to_ms
from recloop.events import Action, Event
from recloop.features import HALF_LIFE_DAYS
from recloop.labels import LONG_VIEW_MS, outcome
from tests.lake import DAY_0, clean_frame, event, frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NOON = DAY_0 + timedelta(hours=12)
MINUTE, MS = timedelta(minutes=1), timedelta(milliseconds=1)


def test_days_are_counted_from_1970() -> None:
    assert [day_number(date(1969, 12, 31)), day_number(date(1970, 1, 1)), day_number(date(2024, 2, 29))] == [
        -1,
        0,
        54 * 365 + 13 + 31 + 28,
    ]


def touches(spark: SparkSession, *events: Event) -> list[dict[str, Any]]:
    rows = daily_touches(clean_frame(spark, events)).orderBy("user_id", "item_id", DAY).collect()
    return [row.asDict() for row in rows]


def series(spark: SparkSession, *rows: tuple[str, int, float, int]) -> DataFrame:
    return frame_of(spark, rows, f"key string, {DAY} int, x double, at int")


def sums(frame: DataFrame, half_life: float) -> dict[tuple[str, int], tuple[float, int, int | None]]:
    rows = decayed_sums(frame, ["key"], ["x"], half_life=half_life, newest=["at"]).collect()
    return {(row["key"], row[DAY]): (row["x"], row["at"], row["next_day"]) for row in rows}


@pytest.mark.spark
@pytest.mark.stack
class TestTouches:
    def test_events_of_one_user_item_and_day_are_one_touch(self, spark: SparkSession) -> None:
        (touch,) = touches(
            spark,
            event("a", "impression", at=NOON),
            event("b", "click", at=NOON + MINUTE),
            event("c", "save", at=NOON + 2 * MINUTE),
            event("d", "impression", at=NOON + 3 * MINUTE),
        )
        assert (touch["click"], touch["long_view"], touch["like"], touch["hide"]) == (1, 0, 1, 0)
        assert (touch["first_ms"], touch["last_ms"]) == (to_ms(NOON), to_ms(NOON + 3 * MINUTE))
        assert touch["interacted_ms"] == to_ms(NOON + 2 * MINUTE)

    def test_midnight_parts_touches(self, spark: SparkSession) -> None:
        midnight = DAY_0 + timedelta(days=1)
        found = touches(spark, event("a", "click", at=midnight - MS), event("b", "click", at=midnight))
        day = day_number(DAY_0.date())
        assert [(touch[DAY], touch["first_ms"]) for touch in found] == [
            (day, to_ms(midnight) - 1),
            (day + 1, to_ms(midnight)),
        ]

    def test_item_that_was_only_shown_is_touched_but_not_interacted_with(self, spark: SparkSession) -> None:
        (touch,) = touches(spark, event("a", "impression"))
        assert (touch["interacted_ms"], touch["prefers"], touch["click"]) == (None, 0.0, 0)

    def test_preference_is_the_best_of_a_day_less_a_hide(self, spark: SparkSession) -> None:
        expected = {"click": 1.0, "click save like": 2.0, "hide": -1.5, "click hide": 1.0 - 1.5, "view": 0.0}
        log = [
            event(f"{actions}-{each}", each, at=NOON, item=actions) for actions in expected for each in actions.split()
        ]
        assert {touch["item_id"]: touch["prefers"] for touch in touches(spark, *log)} == expected

    def test_no_events_are_no_touches(self, spark: SparkSession) -> None:
        assert touches(spark) == []

    def test_every_action_dwell_and_duration_has_the_kernel_s_outcome(self, spark: SparkSession) -> None:
        spans = [None, 0, 1, LONG_VIEW_MS - 1, LONG_VIEW_MS, LONG_VIEW_MS + 1]
        log = {
            f"e{number}": event(f"e{number}", action, dwell_ms=dwell, duration_ms=duration)
            for number, (action, dwell, duration) in enumerate(product(Action, spans, spans))
        }
        columns = [condition.alias(head) for head, condition in head_conditions().items()]
        rows = clean_frame(spark, log.values()).select("event_id", *columns).collect()
        assert len(rows) == len(log)
        assert {row["event_id"]: {head: row[head] for head in outcome(log[row["event_id"]])} for row in rows} == {
            event_id: outcome(each) for event_id, each in log.items()
        }


@pytest.mark.spark
@pytest.mark.stack
class TestSums:
    def test_sum_fades_by_half_in_a_half_life_and_names_the_next_day(self, spark: SparkSession) -> None:
        found = sums(series(spark, ("a", 3, 8.0, 5), ("a", 10, 1.0, 2), ("a", 24, 0.0, 7)), half_life=7)
        # 7 days: 8 / 2 + 1; 14 more: 5 / 4 + 0
        assert found == {("a", 3): (8.0, 5, 10), ("a", 10): (5.0, 5, 24), ("a", 24): (1.25, 7, None)}

    def test_series_do_not_see_each_other(self, spark: SparkSession) -> None:
        both = sums(series(spark, ("a", 0, 1.0, 1), ("a", 7, 1.0, 2), ("b", 7, 4.0, 9)), half_life=7)
        assert both == {("a", 0): (1.0, 1, 7), ("a", 7): (1.5, 2, None), ("b", 7): (4.0, 9, None)}

    def test_order_of_the_rows_does_not_matter(self, spark: SparkSession) -> None:
        rows = [("a", day, float(day % 5), day) for day in range(40)]
        assert sums(series(spark, *rows), half_life=3) == sums(series(spark, *rows[::-1]).repartition(4), half_life=3)

    def test_nothing_stays_nothing(self, spark: SparkSession) -> None:
        assert sums(series(spark), half_life=7) == {}

    def test_rate_without_touches_is_the_prior_and_many_touches_overrule_it(self, spark: SparkSession) -> None:
        counts = [(0.0, 0.0, 0.0, 0.0, 0.0), (80.0, 0.0, 2.0, 0.0, 80.0)]
        frame = frame_of(spark, counts, "click double, long_view double, like double, hide double, n double")
        none, many = frame.orderBy("n").select(*rates("item", "n")).collect()
        assert none.asDict() == pytest.approx(
            {"item_click_rate": 0.5, "item_long_view_rate": 0.2, "item_like_rate": 0.1, "item_hide_rate": 0.05}
        )
        # (sum + 20 x prior) / (80 + 20)
        assert many.asDict() == pytest.approx(
            {"item_click_rate": 0.9, "item_long_view_rate": 0.04, "item_like_rate": 0.04, "item_hide_rate": 0.01}
        )

    def test_row_is_of_the_end_of_its_day_and_older_sums_fade_to_it(self, spark: SparkSession) -> None:
        day = day_number(DAY_0.date())
        frame = frame_of(spark, [(day, day - HALF_LIFE_DAYS, 3.0)], f"{DAY} int, since int, x double")
        row = frame.select(feature_time(), faded("x").alias("x")).first()
        assert row is not None
        assert row["feature_time"].replace(tzinfo=DAY_0.tzinfo) == DAY_0 + timedelta(days=1)
        assert row["x"] == 3.0 / 2
