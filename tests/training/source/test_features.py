"""Features over arrays are the numbers of the kernel's reference, for every entity and day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from recloop.aggregates import Rows, item_daily, segment_daily, user_daily
from recloop.clock import MS_PER_DAY, to_ms
from recloop.events import Event
from recloop.features import ITEM_DAILY, RANKING_V1, USER_DAILY, FeatureView
from tests.lake import DAY_0, event, random_log
from tests.training.listed_source import ListedSource
from tests.training.same_numbers import assert_same
from training.source.features import item_categories, item_features, popular_items, user_features
from training.source.log import SourceLog, read_log
from training.source.touches import find_touches

CATEGORIES = {"i0": ["drama"], "i1": ["drama", "war"], "i2": ["war"], "i3": ["war", "war", "art"], "i4": []}
SEGMENTS = {"u0": "x", "u1": "x", "u2": "y", "u3": "all"}
DAY = timedelta(days=1)
FIRST_DAY = to_ms(DAY_0) // MS_PER_DAY
N_DAYS = 8
"""Two more than the logs have: their last rows stand for days on which nothing happened."""


def read(events: Sequence[Event]) -> SourceLog:
    return read_log(ListedSource(events), until=DAY_0 + 100 * 365 * DAY)


def newest_by_kernel(view: FeatureView, events: list[Event], day: int) -> Rows:
    """Return each entity's row of its newest day up to day `day` of the log."""
    newest: Rows = {}
    for number in range(day + 1):
        on = (DAY_0 + number * DAY).date()
        newest |= (
            user_daily(events, day=on, categories=CATEGORIES) if view is USER_DAILY else item_daily(events, day=on)
        )
    return newest


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair of a number below `n` and a day from the one before the log."""
    entities, days = np.divmod(np.arange(n * (N_DAYS + 1)), N_DAYS + 1)
    return entities, days - 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("view", [USER_DAILY, ITEM_DAILY], ids=lambda view: view.name)
def test_every_entity_and_day_of_a_random_log(view: FeatureView, seed: int) -> None:
    events = random_log(seed, n_events=(30, 120, 300, 600)[seed])
    log = read(events)
    touches, ids = find_touches(log), log.user_ids if view is USER_DAILY else log.item_ids
    entities, days = grid(len(ids))
    if view is USER_DAILY:
        found = user_features(touches, item_categories(log.item_ids, CATEGORIES), entities, days + FIRST_DAY)
    else:
        found = item_features(touches, entities, days + FIRST_DAY)
    names = RANKING_V1.names(view)
    assert tuple(found.column_names) == names
    expected = {day: newest_by_kernel(view, events, day) for day in range(-1, N_DAYS)}
    n_known = 0
    for entity, day, row in zip(entities, days, found.to_pylist(), strict=True):
        values = expected[day].get(ids[entity])
        n_known += values is not None
        for name in names:
            assert_same(row[name], None if values is None else values[name], (ids[entity], day, name))
    assert len(ids) < n_known < len(entities)


@pytest.mark.parametrize("seed", range(4))
def test_popular_items_of_every_day(seed: int) -> None:
    events = random_log(seed, n_events=(30, 120, 300, 600)[seed])
    log = read(events)
    for day in range(N_DAYS):
        rows = popular_items(
            find_touches(log), [SEGMENTS.get(user) for user in log.user_ids], log.item_ids, day=FIRST_DAY + day
        ).to_pylist()
        newest: dict[str, tuple[int, Any]] = {}
        for number in range(day + 1):
            on = segment_daily(events, day=(DAY_0 + number * DAY).date(), segments=SEGMENTS)
            newest |= {segment: (number, values) for segment, values in on.items()}
        assert {row["segment"] for row in rows} == newest.keys()
        for row in rows:
            number, values = newest[row["segment"]]
            assert row["feature_time_ms"] == to_ms(DAY_0 + (number + 1) * DAY)
            for name in ("popular_items", "popular_weights"):
                assert_same(row[name], values[name], (row["segment"], day, name))


def test_nothing_is_popular_before_a_day_ended() -> None:
    log = read([event("a", "click")])
    assert len(popular_items(find_touches(log), [None], log.item_ids, day=FIRST_DAY - 1)) == 0


def test_segment_that_only_looked_has_an_empty_list() -> None:
    log = read([event("a", "impression"), event("b", "click", user="v")])
    rows = popular_items(find_touches(log), ["x", None], log.item_ids, day=FIRST_DAY).to_pylist()
    assert [(row["segment"], row["popular_items"]) for row in rows] == [("all", ["i"]), ("x", [])]


def test_most_popular_two_hundred_are_kept_ties_by_id() -> None:
    events = [event(f"e{n}", "click", item=f"i{n:03}") for n in range(300)]
    log = read([*events, event("again", "like", user="v", item="i299")])
    rows = popular_items(find_touches(log), [None, None], log.item_ids, day=FIRST_DAY).to_pylist()
    assert rows[0]["popular_items"] == ["i299", *(f"i{n:03}" for n in range(199))]
    assert rows[0]["popular_weights"] == [2, *[1] * 199]


def test_strongest_twenty_categories_are_kept_a_dislike_among_them() -> None:
    events = [event(f"e{n}", "click", item=f"i{n:02}") for n in range(30)] + [event("h", "hide", item="bad")]
    categories = {f"i{n:02}": [f"c{n:02}"] for n in range(30)} | {"bad": ["dull"]}
    log = read(events)
    table = user_features(
        find_touches(log), item_categories(log.item_ids, categories), np.array([0]), np.array([FIRST_DAY])
    )
    row = table.to_pylist()[0]
    assert row["user_categories"] == ["dull", *(f"c{n:02}" for n in range(19))]
    assert row["user_category_weights"] == pytest.approx([-1, *[1 / 1.5] * 19])


def test_category_that_cancels_out_or_is_too_faint_is_left_out() -> None:
    # Three clicks are 3, two hides -3; a click of 630 days ago is 2^-21, which six decimals do not show.
    events = [event(f"c{n}", "click", item=f"c{n}") for n in range(3)]
    events += [event(f"h{n}", "hide", item=f"h{n}") for n in range(2)]
    events += [event("old", "click", item="old", at=DAY_0 - 630 * DAY)]
    log = read(events)
    categories = {each.item_id: ["faint" if each.item_id == "old" else "even"] for each in events}
    table = user_features(
        find_touches(log), item_categories(log.item_ids, categories), np.array([0]), np.array([FIRST_DAY])
    )
    assert table.to_pylist()[0]["user_categories"] == []


def test_user_whose_items_have_no_category_has_an_empty_list_and_no_null() -> None:
    log = read([event("a", "click")])
    table = user_features(find_touches(log), item_categories(log.item_ids, {}), np.array([0, 0]),
                          np.array([FIRST_DAY, FIRST_DAY - 1]))  # fmt: skip
    assert table["user_categories"].to_pylist() == [[], None]
    assert table["user_category_weights"].to_pylist() == [[], None]


def test_item_that_the_log_lacks_has_no_features() -> None:
    log = read([event("a", "click")])
    table = item_features(find_touches(log), np.array([-1, 0]), np.array([FIRST_DAY, FIRST_DAY]))
    assert table["item_touches"].to_pylist() == [None, 1.0]


def test_touch_of_years_ago_still_counts_a_little() -> None:
    years = 18 * 365 * DAY
    events = [event("a", "click", item="i0"), event("b", "like", item="i0", at=DAY_0 + years)]
    log = read(events)
    last = (DAY_0 + years).date()
    table = item_features(find_touches(log), np.array([0]), np.array([FIRST_DAY + 18 * 365]))
    for name, value in item_daily(events, day=last)["i0"].items():
        assert_same(table[name][0].as_py(), value, name)
