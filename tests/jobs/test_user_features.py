"""The change log of users: what they prefer, what they saw, as of each day and of no later one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.etl.touches import daily_touches, day_number
from jobs.etl.user_features import user_daily
from recloop.clock import to_ms
from recloop.events import Event
from recloop.features import MAX_CATEGORIES, MAX_SEEN_ITEMS
from tests.lake import DAY_0, clean_frame, event, frame_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
DAY, MINUTE, FIRST = timedelta(days=1), timedelta(minutes=1), day_number(DAY_0.date())
CATEGORIES = {"d": ["drama"], "w": ["war"], "dw": ["drama", "war"], "none": []}


def act(item: str, day: int = 0, action: str = "click", *, user: str = "u", minute: int = 0) -> Event:
    at = DAY_0 + day * DAY + minute * MINUTE
    return event(f"{user}-{item}-{at.isoformat()}-{action}", action, at=at, user=user, item=item)


def rows(
    spark: SparkSession, *events: Event, first: int = 0, last: int = 0, categories: dict[str, list[str]] = CATEGORIES
) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the rows by user and day of the log."""
    pairs = [(item, each) for item, names in categories.items() for each in names]
    frame = frame_of(spark, pairs, "item_id string, category string")
    touches = daily_touches(clean_frame(spark, events))
    found = user_daily(touches, frame, first=FIRST + first, last=FIRST + last).collect()
    return {
        (row["user_id"], (row["feature_time"].replace(tzinfo=DAY_0.tzinfo) - DAY_0).days - 1): row.asDict()
        for row in found
    }


def preferences(row: dict[str, Any]) -> list[tuple[str, float]]:
    return list(zip(row["user_categories"], row["user_category_weights"], strict=True))


def test_user_has_a_row_on_days_with_a_touch_only_both_ends_included(spark: SparkSession) -> None:
    log = [act("d", day) for day in (0, 1, 3, 5)] + [act("d", 2, user="v")]
    assert rows(spark, *log, first=1, last=3).keys() == {("u", 1), ("v", 2), ("u", 3)}


def test_items_of_one_day_are_touches_apart_and_one_active_day(spark: SparkSession) -> None:
    log = [act("d", 0), act("w", 0), act("d", 30), act("d", 30, "save", minute=5)]
    row = rows(spark, *log, first=30, last=30)["u", 30]
    # half a life ago two touches on one day; today one touch of two events
    assert row["user_touches"] == pytest.approx(2 / 2 + 1)
    assert row["user_active_days"] == pytest.approx(1 / 2 + 1)
    assert row["user_last_ms"] == to_ms(DAY_0 + 30 * DAY + 5 * MINUTE)


def test_strongest_category_comes_first_whatever_its_sign(spark: SparkSession) -> None:
    row = rows(spark, act("d"), act("w", action="hide"))["u", 0]
    # click 1, hide -1.5: each over the largest
    assert preferences(row) == [("war", -1.0), ("drama", pytest.approx(1 / 1.5))]


def test_equal_categories_are_ordered_by_name(spark: SparkSession) -> None:
    assert preferences(rows(spark, act("dw"))["u", 0]) == [("drama", 1.0), ("war", 1.0)]


def test_category_in_balance_is_no_preference(spark: SparkSession) -> None:
    # war: three clicks and two hides, 3 x 1 - 2 x 1.5
    names = {"d": ["drama"]} | {item: ["war"] for item in "abcxy"}
    log = [act("a"), act("b"), act("c"), act("x", action="hide"), act("y", action="hide"), act("d")]
    assert preferences(rows(spark, *log, categories=names)["u", 0]) == [("drama", 1.0)]


def test_most_categories_are_kept(spark: SparkSession) -> None:
    names = {"i": [f"c{number:02}" for number in range(MAX_CATEGORIES + 3)]}
    row = rows(spark, act("i"), categories=names)["u", 0]
    assert row["user_categories"] == names["i"][:MAX_CATEGORIES]


def test_item_without_categories_is_seen_all_the_same(spark: SparkSession) -> None:
    row = rows(spark, act("none", minute=1), act("not in the catalogue"))["u", 0]
    assert (preferences(row), row["user_seen_items"]) == ([], ["none", "not in the catalogue"])


def test_user_who_was_only_shown_items_has_empty_lists_not_missing_ones(spark: SparkSession) -> None:
    row = rows(spark, act("d", action="impression"))["u", 0]
    assert (row["user_categories"], row["user_category_weights"], row["user_seen_items"]) == ([], [], [])
    assert row["user_touches"] == 1


def test_seen_items_are_newest_first_each_once_and_ties_by_id(spark: SparkSession) -> None:
    log = [
        act("b", minute=1),
        act("a", minute=1),
        act("c", minute=0),
        act("c", minute=2),
        act("d", minute=3, action="impression"),
    ]
    assert rows(spark, *log)["u", 0]["user_seen_items"] == ["c", "a", "b"]


def test_later_days_leave_earlier_rows_as_they_were(spark: SparkSession) -> None:
    past = [act("d", 0), act("w", 1)]
    before = rows(spark, *past, last=1)
    after = rows(spark, *past, act("d", 2, "hide"), act("new", 2), last=2)
    assert before.keys() == {("u", 0), ("u", 1)}
    assert {key: after[key] for key in before} == before
    assert after["u", 2]["user_seen_items"] == ["d", "new", "w"]


def test_newest_seen_items_are_kept(spark: SparkSession) -> None:
    log = [act(f"{day}-{minute:04}", day, minute=minute) for day in (0, 1) for minute in range(1_200)]
    seen = rows(spark, *log, first=1, last=1)["u", 1]["user_seen_items"]
    assert len(seen) == MAX_SEEN_ITEMS
    # all of the second day, and what is left for the first
    assert (seen[0], seen[-1]) == ("1-1199", f"0-{2 * 1_200 - MAX_SEEN_ITEMS:04}")
