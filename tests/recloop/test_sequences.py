"""The sequence does not depend on arrival order, repeats or batching."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from recloop.events import Action, Event
from recloop.sequences import ACTION_CODES, MAX_ACTIONS, Entry, RecentActions, entry, merge, recent_actions


def random_entries(n: int, seed: int) -> list[Entry]:
    rng = random.Random(seed)
    # Few distinct times, so that many entries tie within a millisecond.
    return [Entry(rng.randrange(40), place, f"i{rng.randrange(9)}", "click", 0) for place in range(n)]


def test_any_order_repeats_and_batches_give_the_same_state() -> None:
    log = random_entries(300, seed=1)
    expected = merge([], log)
    rng = random.Random(2)
    for _ in range(5):
        arrived = log + rng.sample(log, 100)
        rng.shuffle(arrived)
        state: list[Entry] = []
        while arrived:
            state = merge(state, [arrived.pop() for _ in range(min(len(arrived), rng.randrange(1, 30)))])
        assert state == expected


def test_state_holds_the_newest_hundred() -> None:
    log = [Entry(time, 0, "i", "click", 0) for time in range(150)]
    assert [old.time_ms for old in merge([], log)] == list(range(50, 150))
    assert len(merge([], log)) == MAX_ACTIONS


def test_event_older_than_a_full_state_changes_nothing() -> None:
    state = [Entry(time, 0, "i", "click", 0) for time in range(1, 101)]
    assert merge(state, [Entry(0, 0, "late", "save", 0)]) == state


def test_impression_is_no_entry() -> None:
    shown = Event(
        event_id="e", event_time=datetime(2022, 5, 1, tzinfo=UTC), action=Action.IMPRESSION, user_id="u", item_id="i"
    )
    assert entry(shown) is None


def test_before_is_strict() -> None:
    recent = recent_actions([Entry(1, 0, "a", "click", 0), Entry(2, 0, "b", "save", 5)])
    assert recent.before(2) == RecentActions(("a",), ("click",), (1,), (0,))


def test_no_entries_give_empty_lists() -> None:
    assert len(recent_actions([])) == 0


def test_action_codes_leave_zero_for_padding_and_never_move() -> None:
    assert ACTION_CODES == {
        "click": 1, "view": 2, "long_view": 3, "save": 4, "like": 5,
        "share": 6, "follow": 7, "comment": 8, "purchase": 9, "hide": 10,
    }  # fmt: skip
