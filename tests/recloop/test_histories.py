"""Histories: how they are coded, cut and put together."""

from __future__ import annotations

import numpy as np
import pytest

from recloop.histories import Histories, encode_histories, gap_buckets
from recloop.sequences import MAX_ACTIONS, RecentActions
from tests.recloop.conftest import tiny_items

RECENT = RecentActions(("i2", "gone", "i0"), ("click", "save", "hide"), (1, 2, 3), (9_000, 5, 0))


def test_a_history_is_right_aligned_and_skips_unknown_items() -> None:
    found = encode_histories([(RECENT, 3), (RecentActions(), 3)], tiny_items())
    assert found.items.shape == (2, MAX_ACTIONS)
    assert found.items[0, -3:].tolist() == [0, 3, 1]
    assert found.actions[0, -3:].tolist() == [0, 1, 10]
    assert found.gaps[0, -3:].tolist() == [0, 1, 1]
    assert found.dwells[0, -3:].tolist() == [0, 4, 0]
    assert not any(part[1].any() for part in found.parts)


def test_the_oldest_of_too_many_actions_are_left_out() -> None:
    n = MAX_ACTIONS + 5
    many = RecentActions(("i0",) * 5 + ("i1",) * MAX_ACTIONS, ("click",) * n, tuple(range(n)), (0,) * n)
    assert set(encode_histories([(many, n)], tiny_items()).items[0].tolist()) == {2}


def test_gap_of_an_event_ahead_of_the_clock_is_the_smallest() -> None:
    assert gap_buckets(np.array([-9_000])).tolist() == [1]


def test_histories_are_put_together_in_order() -> None:
    items = tiny_items()
    both = encode_histories([(RECENT, 3), (RecentActions(), 5)], items)
    parts = [encode_histories([asked], items) for asked in ((RECENT, 3), (RecentActions(), 5))]
    for found, expected in zip(Histories.of(parts).parts, both.parts, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_parts_of_other_shapes_are_refused() -> None:
    right = np.zeros((2, 3), dtype=np.int64)
    with pytest.raises(ValueError, match=r"shapes .*\(2, 4\)"):
        Histories(right, right, right, np.zeros((2, 4), dtype=np.int64))
    long = np.zeros((2, MAX_ACTIONS + 1), dtype=np.int64)
    with pytest.raises(ValueError, match="length at most 100"):
        Histories(long, long, long, long)
