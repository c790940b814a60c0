"""Touches and decayed sums over arrays: long gaps, days before all others, and when a day's row could be read."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from recloop.aggregates import touches as touches_of_kernel
from recloop.clock import MS_PER_DAY
from recloop.labels import Head
from tests.lake import DAY_0, random_log
from tests.training.listed_source import ListedSource
from training.source.log import read_log
from training.source.touches import by_day, find_touches, newest_readable_day

TWO_HOURS = timedelta(hours=2)


@pytest.mark.parametrize("seed", range(3))
def test_touches_are_those_of_the_kernel(seed: int) -> None:
    events = random_log(seed, n_events=400)
    log = read_log(ListedSource(events), until=DAY_0 + timedelta(days=9))
    found = find_touches(log)
    rows = zip(*vars(found).values(), strict=True)
    expected = touches_of_kernel(events, until=(DAY_0 + timedelta(days=9)).date())
    assert len(found.days) == len(expected) > 100
    assert {
        (log.user_ids[user], log.item_ids[item], day, frozenset(np.array(Head)[heads]), first, last)
        for user, item, day, heads, first, last in rows
    } == {
        (each.user_id, each.item_id, (each.day - DAY_0.date()).days + 19_113, frozenset(each.heads),
         each.first_ms, each.last_ms)
        for each in expected
    }  # fmt: skip


def test_decayed_sums_are_each_keys_own() -> None:
    daily = by_day(np.array([7, 3, 3, 3, 7]), np.array([10, 10, 16, 13, 40]))
    assert (daily.keys.tolist(), daily.days.tolist()) == ([3, 3, 3, 7, 7], [10, 13, 16, 10, 40])
    sums = daily.sums(np.array([1.0, 2.0, 8.0, 4.0, 1.0]))
    assert sums.tolist() == [2, 4, 8, 1, 1]
    # Half every 3 days: 4 + 2 / 2 = 5 and 8 + 5 / 2 = 10.5; thirty days are ten halvings.
    assert daily.decayed(sums, half_life=3).tolist() == [2, 5, 10.5, 1, 1 + 2**-10]


def test_gap_of_centuries_neither_overflows_nor_warns() -> None:
    daily = by_day(np.zeros(2, dtype=np.int64), np.array([0, 365 * 500]))
    assert daily.decayed(np.ones(2), half_life=7).tolist() == [1, 1]


def test_newest_row_is_the_keys_own_at_or_before_the_day() -> None:
    daily = by_day(np.array([0, 0, 2]), np.array([5, 8, 6]))
    keys, days = np.array([0, 0, 0, 0, 1, 2, 2, 2]), np.array([4, 5, 7, 90, 6, -900, 6, 90])
    assert daily.newest(keys, days).tolist() == [-1, 0, 0, 1, -1, -1, 2, 2]


def test_nothing_happened_to_anyone() -> None:
    none = np.zeros(0, dtype=np.int64)
    daily = by_day(none, none)
    assert len(daily.decayed(daily.sums(none), half_life=7)) == 0
    assert daily.newest(np.array([1]), np.array([2])).tolist() == [-1]


@pytest.mark.parametrize(
    ("time_ms", "delay", "day"),
    [
        pytest.param(3 * MS_PER_DAY, timedelta(0), 2, id="at_its_end"),
        pytest.param(3 * MS_PER_DAY - 1, timedelta(0), 1, id="a_millisecond_before"),
        pytest.param(3 * MS_PER_DAY + 7_200_000, TWO_HOURS, 2, id="when_it_was_written"),
        pytest.param(3 * MS_PER_DAY + 7_199_999, TWO_HOURS, 1, id="a_millisecond_before_that"),
    ],
)
def test_day_is_readable_from_its_end_and_the_run_on(time_ms: int, delay: timedelta, day: int) -> None:
    assert newest_readable_day(np.array([time_ms]), delay).tolist() == [day]
