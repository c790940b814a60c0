"""The state is what the sequence rule makes of the log, also where part of it came as an online row."""

from __future__ import annotations

import random

import pytest

from jobs.streaming.user_state import REREAD_MS, add_events, add_online_row, must_read_online_row
from recloop.sequences import MAX_ACTIONS, Entry, RecentActions, event_hash, merge, recent_actions


def random_log(n: int, seed: int) -> list[Entry]:
    rng = random.Random(seed)
    # Few distinct times, items and actions: many ties within a millisecond, and some twins but for the event id.
    return [
        Entry(rng.randrange(40), event_hash(f"{seed}-{n}"), f"i{rng.randrange(9)}", rng.choice(["click", "save"]), 0)
        for n in range(n)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_any_order_with_repeats_gives_the_kernels_sequence(seed: int) -> None:
    log = random_log(250, seed)
    rng = random.Random(seed)
    arrived = log + rng.sample(log, 80)
    rng.shuffle(arrived)
    state: list[Entry] = []
    for new in arrived:
        state = add_events(state, [new])
    assert state == merge([], log)


@pytest.mark.parametrize("seed", range(20))
def test_replay_over_the_row_that_was_written_before_counts_nothing_twice(seed: int) -> None:
    rng = random.Random(seed)
    log = random_log(rng.randrange(1, 250), seed)
    row = recent_actions(
        merge([], rng.sample(log, rng.randrange(len(log))))
    )  # of a run that died before its checkpoint
    rng.shuffle(log)
    state: list[Entry] = []
    for place, new in enumerate(log):
        # The row is read before the first event, and again at any later time.
        state = add_online_row(state, row) if place == 0 or rng.random() < 0.1 else state
        state = add_events(state, [new])
    assert state == merge([], log)


def test_history_of_the_row_comes_before_the_first_event() -> None:
    row = RecentActions(("a", "b", "c"), ("click", "click", "save"), (5, 5, 5), (0, 0, 9))
    state = add_events(add_online_row([], row), [Entry(6, 2**62, "d", "like", 0)])
    assert recent_actions(state) == RecentActions(
        ("a", "b", "c", "d"), ("click", "click", "save", "like"), (5, 5, 5, 6), (0, 0, 9, 0)
    )


def test_reading_the_same_row_again_changes_nothing() -> None:
    row = recent_actions(merge([], random_log(150, seed=3)))
    once = add_online_row([], row)
    assert len(once) == MAX_ACTIONS
    assert add_online_row(once, row) == once


def test_row_backfilled_later_is_united_with_what_is_held() -> None:
    first = add_online_row([], RecentActions(("a",), ("click",), (5,), (0,)))
    both = add_online_row(first, RecentActions(("x", "a"), ("click", "click"), (5, 5), (0, 0)))
    assert sorted(old.item_id for old in both) == ["a", "x"]


def test_action_of_a_newer_version_in_the_row_is_left_out() -> None:
    row = RecentActions(("a", "b"), ("teleport", "click"), (1, 2), (0, 0))
    assert [old.item_id for old in add_online_row([], row)] == ["b"]


def test_row_is_read_at_first_and_again_after_a_while() -> None:
    assert must_read_online_row(0, 1)
    assert not must_read_online_row(1_000, 1_000 + REREAD_MS - 1)
    assert must_read_online_row(1_000, 1_000 + REREAD_MS)
