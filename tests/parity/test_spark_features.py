"""The feature job's one pass over the log gives, for every day, what the kernel computes day by day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from recloop.aggregates import Rows, item_daily, segment_daily, user_daily
from recloop.clock import to_ms
from recloop.events import Event
from recloop.features import ITEM_DAILY, SEGMENT_DAILY, USER_DAILY, FeatureView
from recloop.tables import Column
from tests.lake import DAY_0, clean_frame, event, frame_of, random_log

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]

CATEGORIES = {"i0": ["drama"], "i1": ["drama", "war"], "i2": ["war"], "i3": ["war", "war"], "i4": []}
SEGMENTS = {"u0": "x", "u1": "x", "u2": "y"}
FIRST, N_DAYS = DAY_0.date(), 6


def in_spark(spark: SparkSession, log: list[Event], first: date, last: date) -> dict[FeatureView, DataFrame]:
    from jobs.etl import item_features, touches, user_features

    found = touches.daily_touches(clean_frame(spark, log)).cache()
    pairs = [(item, each) for item, names in CATEGORIES.items() for each in set(names)]
    categories = frame_of(spark, pairs, "item_id string, category string")
    segments = frame_of(spark, list(SEGMENTS.items()), "user_id string, segment string")
    span = {"first": touches.day_number(first), "last": touches.day_number(last)}
    return {
        USER_DAILY: user_features.user_daily(found, categories, **span),
        ITEM_DAILY: item_features.item_daily(found, **span),
        SEGMENT_DAILY: item_features.segment_daily(found, segments, **span),
    }


def in_kernel(view: FeatureView, log: list[Event], day: date) -> Rows:
    if view is USER_DAILY:
        return user_daily(log, day=day, categories=CATEGORIES)
    return item_daily(log, day=day) if view is ITEM_DAILY else segment_daily(log, day=day, segments=SEGMENTS)


def assert_same(view: FeatureView, rows: DataFrame, log: list[Event], days: list[date]) -> None:
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows.collect():
        at = to_ms(row[Column.FEATURE_TIME].replace(tzinfo=DAY_0.tzinfo))
        found[row[view.entity], at] = {name: row[name] for name in view.names}
    expected = {
        (entity, to_ms(DAY_0 + (day - FIRST + timedelta(days=1)))): values
        for day in days
        for entity, values in in_kernel(view, log, day).items()
    }
    assert expected
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        for name, value in values.items():
            assert found[key][name] == (
                value if isinstance(value, list) and not _numeric(value) else pytest.approx(value)
            ), (
                key,
                name,
            )


def _numeric(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], float | int)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_day_of_a_random_log(spark: SparkSession, seed: int) -> None:
    log = random_log(seed, n_events=300, days=N_DAYS)
    days = [FIRST + timedelta(days=number) for number in range(N_DAYS)]
    for view, rows in in_spark(spark, log, days[0], days[-1]).items():
        assert_same(view, rows, log, days)


def test_span_in_the_middle_knows_what_was_before_and_nothing_after(spark: SparkSession) -> None:
    log = random_log(3, n_events=300, days=N_DAYS)
    days = [FIRST + timedelta(days=number) for number in (2, 3)]
    past = [each for each in log if each.event_time.date() <= days[-1]]
    for view, rows in in_spark(spark, past, days[0], days[-1]).items():
        assert_same(view, rows, log, days)


def test_long_gaps_neither_overflow_nor_vanish(spark: SparkSession) -> None:
    # 18 years at a half-life of 7 days are 939 doublings; a double ends at 2 ^ 1023.
    years = timedelta(days=18 * 365)
    log = [event("a", "click", item="i0"), event("b", "like", item="i0", at=DAY_0 + years)]
    last = (DAY_0 + years).date()
    for view, rows in in_spark(spark, log, last, last).items():
        assert_same(view, rows, log, [last])
