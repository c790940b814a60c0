"""The batch features in plain Python, with their arithmetic."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from recloop.aggregates import Touch, item_daily, segment_daily, touches, user_daily
from recloop.clock import to_ms
from recloop.features import EVERYONE, ITEM_DAILY, SEGMENT_DAILY, USER_DAILY
from recloop.labels import Head
from tests.lake import DAY_0, event

DAY = date(2022, 5, 1)
LATER = date(2022, 5, 31)  # 30 days on: one half-life
CATEGORIES = {"i": ["drama"], "j": ["drama", "war"], "k": ["war"]}


def test_rows_have_every_feature_of_their_view_in_order() -> None:
    log = [event("a", "click")]
    assert list(user_daily(log, day=DAY, categories={})["u"]) == list(USER_DAILY.names)
    assert list(item_daily(log, day=DAY)["i"]) == list(ITEM_DAILY.names)
    assert list(segment_daily(log, day=DAY, segments={})[EVERYONE]) == list(SEGMENT_DAILY.names)


def test_all_events_of_a_user_item_and_day_are_one_touch() -> None:
    log = [event("a", "impression"), event("b", "click", at=DAY_0 + timedelta(hours=23)), event("c", "like")]
    assert [touch.heads for touch in touches(log, until=DAY)] == [{Head.CLICK, Head.LIKE}]
    assert user_daily(log, day=DAY, categories={})["u"]["user_touches"] == 1


def test_entity_without_an_event_on_the_day_has_no_row() -> None:
    assert user_daily([event("a", "click")], day=LATER, categories={}) == {}
    assert item_daily([event("a", "click")], day=LATER) == {}


def test_event_after_the_day_is_not_seen() -> None:
    log = [event("a", "click"), event("b", "hide", at=DAY_0 + timedelta(days=1))]
    assert user_daily(log, day=DAY, categories={})["u"]["user_touches"] == 1


def test_touch_of_one_half_life_ago_counts_half() -> None:
    log = [event("a", "click"), event("b", "impression", item="j", at=DAY_0 + timedelta(days=30))]
    row = user_daily(log, day=LATER, categories={})["u"]
    assert row["user_touches"] == pytest.approx(0.5 + 1)
    # clicks 0.5, prior 20 touches at a rate of 0.5
    assert row["user_click_rate"] == pytest.approx((0.5 + 20 * 0.5) / (1.5 + 20))
    assert row["user_active_days"] == pytest.approx(0.5 + 1)
    assert row["user_last_ms"] == to_ms(DAY_0 + timedelta(days=30))


def test_popularity_halves_in_a_week() -> None:
    log = [event("a", "click"), event("b", "click", user="v", at=DAY_0 + timedelta(days=7))]
    assert item_daily(log, day=date(2022, 5, 8))["i"]["item_popularity"] == pytest.approx(0.5 + 1)


def test_preferences_are_signed_and_the_strongest_is_one() -> None:
    log = [event("a", "like"), event("b", "click", item="j"), event("c", "hide", item="k")]
    row = user_daily(log, day=DAY, categories=CATEGORIES)["u"]
    # drama: like 2 + click 1 = 3; war: click 1 - hide 1.5 = -0.5; divided by 3
    assert row["user_categories"] == ["drama", "war"]
    assert row["user_category_weights"] == pytest.approx([1, -0.5 / 3])


def test_like_that_is_also_a_click_counts_as_like() -> None:
    assert Touch("u", "i", DAY, {Head.CLICK, Head.LIKE}).preference == 2
    assert Touch("u", "i", DAY, {Head.CLICK, Head.LIKE, Head.HIDE}).preference == 2 - 1.5


def test_seen_items_are_those_interacted_with_newest_first() -> None:
    log = [
        event("a", "click"),
        event("b", "impression", item="j"),
        event("c", "hide", item="k", at=DAY_0 + timedelta(hours=1)),
    ]
    assert user_daily(log, day=DAY, categories={})["u"]["user_seen_items"] == ["k", "i"]


def test_segment_has_its_own_popular_items_and_everyone_has_all() -> None:
    log = [event("a", "click"), event("b", "click", user="v", item="j"), event("c", "click", user="v", item="k")]
    rows = segment_daily(log, day=DAY, segments={"u": "x"})
    assert rows["x"]["popular_items"] == ["i"]
    assert rows[EVERYONE] == {"popular_items": ["i", "j", "k"], "popular_weights": [1, 1, 1]}


def test_item_without_a_click_is_not_popular() -> None:
    assert segment_daily([event("a", "impression")], day=DAY, segments={})[EVERYONE]["popular_items"] == []
