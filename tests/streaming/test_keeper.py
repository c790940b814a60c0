"""State, timers and offers of one user, event by event; no write before the user's history was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.streaming.flusher import Flusher
from jobs.streaming.keeper import READ_AGAIN_MS, Keeper, Step
from jobs.streaming.packing import pack_entries, unpack_state
from jobs.streaming.user_state import REREAD_MS
from recloop.sequences import Entry, RecentActions

HASH = 2**62


class Rows:
    """An online store in memory that can be away."""

    def __init__(self, row: RecentActions | None = None) -> None:
        self.row = row or RecentActions()
        self.down = False
        self.n_reads = 0

    def read(self, user_id: str) -> RecentActions:
        self.n_reads += 1
        if self.down:
            raise ConnectionError("connection refused")
        return self.row

    def write(self, rows: Mapping[str, Sequence[Entry]]) -> None:
        raise AssertionError("the flusher's thread writes, not the keeper")


class Offers(Flusher):
    """A flusher whose thread is not started: it records, and acknowledges when told to."""

    def __init__(self) -> None:
        super().__init__(lambda rows: None)
        self.offered: list[tuple[str, int, list[str]]] = []

    def offer(self, user_id: str, digest: int, entries: Sequence[Entry]) -> bool:
        self.offered.append((user_id, digest, [old.item_id for old in entries]))
        return True

    def acknowledge(self) -> None:
        self._acknowledged = {user_id: digest for user_id, digest, _ in self.offered}

    @property
    def items(self) -> list[list[str]]:
        return [items for _, _, items in self.offered]


def event(time_ms: int, item_id: str) -> bytes:
    return pack_entries([Entry(time_ms, HASH + time_ms, item_id, "click", 0)])


def test_event_is_kept_offered_and_looked_after_by_a_timer() -> None:
    offers = Offers()
    step = Keeper(Rows(), offers).on_event("u", event(5, "a"), None, now_ms=10_300)
    assert offers.items == [["a"]]
    assert step.timer_ms == 12_000
    assert unpack_state(step.state) == ([Entry(5, HASH + 5, "a", "click", 0)], 10_300)


def test_repeated_event_changes_and_writes_nothing() -> None:
    offers = Offers()
    keeper = Keeper(Rows(), offers)
    state = keeper.on_event("u", event(5, "a"), None, now_ms=10_000).state
    assert keeper.on_event("u", event(5, "a"), state, now_ms=10_500) == Step()
    assert len(offers.offered) == 1


def test_late_event_is_sorted_in_and_written() -> None:
    offers = Offers()
    keeper = Keeper(Rows(), offers)
    state = keeper.on_event("u", event(5, "b"), None, now_ms=10_000).state
    keeper.on_event("u", event(4, "a"), state, now_ms=10_001)
    assert offers.items == [["b"], ["a", "b"]]


def test_timer_is_silent_after_the_acknowledgement_and_sends_again_without() -> None:
    offers = Offers()
    keeper = Keeper(Rows(), offers)
    state = keeper.on_event("u", event(5, "a"), None, now_ms=10_000).state
    again = keeper.on_timer("u", state, now_ms=12_000)
    assert offers.items == [["a"], ["a"]]
    assert again.timer_ms == 14_000
    offers.acknowledge()
    assert keeper.on_timer("u", again.state, now_ms=14_000) == Step()
    assert len(offers.offered) == 2


def test_history_is_read_once_and_again_after_a_while() -> None:
    rows, offers = Rows(RecentActions(("h",), ("like",), (1,), (0,))), Offers()
    keeper = Keeper(rows, offers)
    state = keeper.on_event("u", event(5, "a"), None, now_ms=10_000).state
    state = keeper.on_event("u", event(6, "b"), state, now_ms=11_000).state
    assert rows.n_reads == 1
    rows.row = RecentActions(("g", "h"), ("like", "like"), (1, 1), (0, 0))
    keeper.on_event("u", event(7, "c"), state, now_ms=10_000 + REREAD_MS)
    assert offers.items[:2] == [["h", "a"], ["h", "a", "b"]]
    assert sorted(offers.items[2]) == ["a", "b", "c", "g", "h"]


def test_nothing_is_written_over_a_history_that_could_not_be_read() -> None:
    rows, offers = Rows(RecentActions(("h",), ("like",), (1,), (0,))), Offers()
    keeper = Keeper(rows, offers)
    rows.down = True
    step = keeper.on_event("u", event(5, "a"), None, now_ms=10_000)
    assert offers.offered == []
    assert step.timer_ms is not None
    # Others do not each wait for the same dead server.
    keeper.on_event("v", event(5, "a"), None, now_ms=10_000 + READ_AGAIN_MS - 1)
    assert rows.n_reads == 1
    rows.down = False
    step = keeper.on_timer("u", step.state, now_ms=step.timer_ms)
    assert offers.items == [["h", "a"]]


def test_busy_user_is_written_while_a_later_read_fails() -> None:
    rows, offers = Rows(), Offers()
    keeper = Keeper(rows, offers)
    state = keeper.on_event("u", event(5, "a"), None, now_ms=10_000).state
    rows.down = True
    keeper.on_event("u", event(6, "b"), state, now_ms=10_000 + REREAD_MS)
    assert offers.items == [["a"], ["a", "b"]]


def test_timer_of_a_user_without_state_does_nothing() -> None:
    assert Keeper(Rows(), Offers()).on_timer("u", None, now_ms=1) == Step()
