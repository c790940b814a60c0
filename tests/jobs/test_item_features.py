"""Change logs of items and segments: which days get a row, and who leads where. Numbers at large: tests/parity."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.etl.item_features import item_daily, segment_daily
from jobs.etl.touches import daily_touches, day_number
from recloop.clock import to_ms
from recloop.events import Event
from recloop.features import EVERYONE, MAX_POPULAR_ITEMS
from tests.lake import DAY_0, clean_frame, event, frame_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
DAY, FIRST = timedelta(days=1), day_number(DAY_0.date())


def act(user: str, item: str, day: int, action: str = "click") -> Event:
    return event(
        f"{user}-{item}-{day}-{action}", action, at=DAY_0 + day * DAY + timedelta(hours=9), user=user, item=item
    )


def items(spark: SparkSession, *events: Event, first: int, last: int) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the rows by item and day of the log."""
    found = item_daily(daily_touches(clean_frame(spark, events)), first=FIRST + first, last=FIRST + last).collect()
    return {
        (row["item_id"], (row["feature_time"].replace(tzinfo=DAY_0.tzinfo) - DAY_0).days - 1): row.asDict()
        for row in found
    }


def segments(
    spark: SparkSession, *events: Event, of: dict[str, str] | None = None, first: int = 0, last: int
) -> dict[tuple[str, int], list[tuple[str, float]]]:
    """Return the popular items and weights by segment and day of the log."""
    users = frame_of(spark, list((of or {}).items()), "user_id string, segment string")
    rows = segment_daily(
        daily_touches(clean_frame(spark, events)), users, first=FIRST + first, last=FIRST + last
    ).collect()
    found = {
        (row["segment"], (row["feature_time"].replace(tzinfo=DAY_0.tzinfo) - DAY_0).days - 1): list(
            zip(row["popular_items"], row["popular_weights"], strict=True)
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def test_item_has_a_row_on_days_with_a_touch_only_both_ends_included(spark: SparkSession) -> None:
    log = [act("u", "i", day) for day in (0, 1, 3, 5)]
    assert items(spark, *log, first=1, last=3).keys() == {("i", 1), ("i", 3)}


def test_popularity_fades_faster_than_the_count_of_touches(spark: SparkSession) -> None:
    row = items(spark, act("u", "i", 0), act("v", "i", 0), act("u", "i", 30), first=30, last=30)["i", 30]
    assert row["item_touches"] == pytest.approx(2 / 2 + 1)  # a half-life of 30 days
    assert row["item_popularity"] == pytest.approx(2 * 2 ** (-30 / 7) + 1)  # one of 7
    assert row["item_first_ms"] == to_ms(DAY_0 + timedelta(hours=9))
    assert row["item_feature_ms"] == to_ms(DAY_0 + 31 * DAY)


def test_item_that_was_only_shown_is_known_and_not_popular(spark: SparkSession) -> None:
    row = items(spark, act("u", "i", 0, "impression"), first=0, last=0)["i", 0]
    # (0 + 20 x 0.5) / (1 + 20)
    assert (row["item_popularity"], row["item_click_rate"]) == (0.0, pytest.approx(10 / 21))


def test_ties_are_ordered_by_the_item_s_id(spark: SparkSession) -> None:
    log = [act("u", "b", 0), act("u", "a", 0), act("u", "c", 0), act("v", "c", 0)]
    assert segments(spark, *log, last=0) == {(EVERYONE, 0): [("c", 2.0), ("a", 1.0), ("b", 1.0)]}


def test_user_counts_in_its_own_segment_and_in_everyone_s(spark: SparkSession) -> None:
    log = [act("young", "a", 0), act("unknown", "b", 0), act("unknown", "a", 0)]
    assert segments(spark, *log, of={"young": "x"}, last=0) == {
        (EVERYONE, 0): [("a", 2.0), ("b", 1.0)],
        ("x", 0): [("a", 1.0)],
    }


def test_segment_that_is_called_as_everyone_s_is_not_counted_twice(spark: SparkSession) -> None:
    assert segments(spark, act("u", "a", 0), of={"u": EVERYONE}, last=0) == {(EVERYONE, 0): [("a", 1.0)]}


def test_item_clicked_before_the_span_still_stands_with_its_faded_weight(spark: SparkSession) -> None:
    log = [act("u", "old", 0), act("v", "old", 0), act("w", "old", 0), act("u", "new", 7)]
    # 3 clicks a half-life ago
    assert segments(spark, *log, first=7, last=7) == {(EVERYONE, 7): [("old", 1.5), ("new", 1.0)]}


def test_quiet_day_of_a_segment_has_no_row_and_a_day_without_clicks_an_empty_one(spark: SparkSession) -> None:
    log = [act("u", "a", 0, "impression"), act("v", "a", 2)]
    found = segments(spark, *log, of={"u": "x", "v": "y"}, last=2)
    assert found == {(EVERYONE, 0): [], ("x", 0): [], (EVERYONE, 2): [("a", 1.0)], ("y", 2): [("a", 1.0)]}


def test_weight_that_faded_to_nothing_leaves_the_list(spark: SparkSession) -> None:
    # 7 x 20 days: 2^-20 is 0.00000095, which rounds to 0.000001; one half-life more rounds to 0
    log = [act("u", "old", 0), act("u", "new", 140), act("u", "new", 147)]
    found = segments(spark, *log, first=140, last=147)
    assert [item for item, _ in found[EVERYONE, 140]] == ["new", "old"]
    assert [item for item, _ in found[EVERYONE, 147]] == ["new"]


def test_list_ends_at_its_most_items(spark: SparkSession) -> None:
    names = [f"i{number:04}" for number in range(MAX_POPULAR_ITEMS + 5)]
    ((found),) = segments(spark, *(act("u", name, 0) for name in names), last=0).values()
    assert [item for item, _ in found] == names[:MAX_POPULAR_ITEMS]
