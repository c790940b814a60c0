"""One event or one timer of one user: what happens to the state and what goes to the online store.

Plain Python around two parts that can be exchanged in a test (the online rows, the flusher); Flink's function in
`functions.py` only carries bytes in and out of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from jobs.streaming.flusher import Flusher
from jobs.streaming.online_rows import OnlineRows
from jobs.streaming.packing import pack_state, unpack_entries, unpack_state
from jobs.streaming.user_state import add_events, add_online_row, must_read_online_row
from recloop.sequences import Entry

RESEND_MS = 1_000
"""Timers fire on whole multiples of it, so that a burst of one user's events shares one timer."""

READ_AGAIN_MS = 1_000
"""After a failed read nobody tries for so long: each try may cost the job the whole timeout."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What Flink has to do: keep `state`, and call again at `timer_ms`; None: leave as it is, set none."""

    state: bytes | None = None
    timer_ms: int | None = None


class Keeper:
    """Keeps every user's sequence current in state and in the online store."""

    def __init__(self, rows: OnlineRows, flusher: Flusher) -> None:
        self._rows = rows
        self._flusher = flusher
        self._read_again_at_ms = 0

    def on_event(self, user_id: str, packed_entry: bytes, state: bytes | None, now_ms: int) -> Step:
        """Add one event. A repeat changes nothing, so it is not written again."""
        before, read_at_ms = unpack_state(state)
        entries, read_at_ms = self._unite(user_id, before, read_at_ms, now_ms)
        entries = add_events(entries, unpack_entries(packed_entry))
        after = pack_state(entries, read_at_ms=read_at_ms)
        if after == state:
            return Step()
        self._offer(user_id, entries, after, read_at_ms)
        return Step(after, _next_timer(now_ms))

    def on_timer(self, user_id: str, state: bytes | None, now_ms: int) -> Step:
        """Send again what the online store did not acknowledge: after a kill, or while the store is away."""
        if state is None or self._flusher.acknowledged(user_id, hash(state)):
            return Step()
        entries, read_at_ms = unpack_state(state)
        if read_at_ms == 0:
            entries, read_at_ms = self._unite(user_id, entries, read_at_ms, now_ms)
            state = pack_state(entries, read_at_ms=read_at_ms)
        self._offer(user_id, entries, state, read_at_ms)
        return Step(state, _next_timer(now_ms))

    def _unite(self, user_id: str, entries: list[Entry], read_at_ms: int, now_ms: int) -> tuple[list[Entry], int]:
        if not must_read_online_row(read_at_ms, now_ms) or now_ms < self._read_again_at_ms:
            return entries, read_at_ms
        try:
            return add_online_row(entries, self._rows.read(user_id)), now_ms
        except Exception as error:  # whatever a client raises while its server is away
            self._read_again_at_ms = now_ms + READ_AGAIN_MS
            log.warning("the online row of a user cannot be read, trying again: %s", error)
            return entries, read_at_ms

    def _offer(self, user_id: str, entries: list[Entry], state: bytes, read_at_ms: int) -> None:
        # Until the online row was read once, writing would replace a history that is not in the state.
        if read_at_ms and entries:
            self._flusher.offer(user_id, hash(state), entries)


def _next_timer(now_ms: int) -> int:
    return (now_ms // RESEND_MS + 2) * RESEND_MS
