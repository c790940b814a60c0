"""State survives the way through bytes, whatever the item ids look like."""

from __future__ import annotations

import pytest

from jobs.streaming.packing import pack_entries, pack_state, unpack_entries, unpack_state
from recloop.events import INTERACTIONS
from recloop.sequences import MAX_ACTIONS, Entry

LARGEST = Entry(253_402_300_799_999, 2**63 - 1, "€" * 128, "hide", 86_400_000)


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="none"),
        pytest.param([LARGEST] * MAX_ACTIONS, id="a_hundred_of_the_largest"),
        pytest.param([Entry(n, n, f"i{n}", str(action), n) for n, action in enumerate(INTERACTIONS)], id="each_action"),
        pytest.param([Entry(1, 1, "電影", "like", 0), Entry(2, 2, "\U0001f3ac", "save", 0)], id="other_alphabets"),
    ],
)
def test_entries_come_back_as_they_went_in(entries: list[Entry]) -> None:
    assert unpack_entries(pack_entries(entries)) == entries
    assert unpack_state(pack_state(entries, read_at_ms=7)) == (entries, 7)


def test_user_without_state_was_never_read() -> None:
    assert unpack_state(None) == ([], 0)


def test_a_hundred_usual_entries_take_less_than_3_kb() -> None:
    # 23 bytes of numbers and 5 of item id each, and 8 bytes in front
    assert len(pack_state([Entry(n, n, "12345", "click", 0) for n in range(100)], read_at_ms=1)) == 100 * (23 + 5) + 8
