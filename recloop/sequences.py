"""The sequence rule: a user's newest 100 distinct interactions, whatever order they arrived in.

State is the newest MAX_ACTIONS entries by (event_time, hash of event_id); adding the same event twice changes nothing,
and adding events in any order gives the same state. So a replay, a late event and a restart all end at the same
sequence, and Spark can recompute what the stream holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from recloop.clock import to_ms
from recloop.events import INTERACTIONS, Action, Event

MAX_ACTIONS = 100
ACTION_CODES = {action: code for code, action in enumerate(INTERACTIONS, start=1)}
"""Action → small integer of the model's embedding table; 0 is padding. Append only: bundles hold these numbers."""


class Entry(NamedTuple):
    """One interaction in a sequence; its tuple order is the sequence order."""

    time_ms: int
    event_hash: int
    item_id: str
    action: str
    dwell_ms: int


@dataclass(frozen=True)
class RecentActions:
    """A user's sequence as the online store holds it: parallel lists, oldest first, at most MAX_ACTIONS long."""

    item_ids: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    times_ms: tuple[int, ...] = ()
    dwell_ms: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.item_ids)

    def before(self, time_ms: int) -> RecentActions:
        """Return the entries strictly before a moment."""
        n = int(np.searchsorted(np.asarray(self.times_ms, dtype=np.int64), time_ms, side="left"))
        return RecentActions(self.item_ids[:n], self.actions[:n], self.times_ms[:n], self.dwell_ms[:n])


def event_hash(event_id: str) -> int:
    """Return 63 bits of an event id: the tie-breaker inside one millisecond, the same in every process."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "big") >> 1


def entry(event: Event) -> Entry | None:
    """Return the sequence entry of an event; None for an impression, which is no interaction."""
    if event.action == Action.IMPRESSION:
        return None
    return Entry(to_ms(event.event_time), event_hash(event.event_id), event.item_id, event.action, event.dwell_ms or 0)


def merge(state: Sequence[Entry], new: Iterable[Entry]) -> list[Entry]:
    """Return the newest MAX_ACTIONS distinct entries of both, oldest first.

    >>> late, early = Entry(2, 7, "b", "click", 0), Entry(1, 9, "a", "save", 0)
    >>> merge([late], [early, late]) == merge([early], [late]) == [early, late]
    True
    """
    known = {(old.time_ms, old.event_hash): old for old in state}
    for fresh in new:
        known.setdefault((fresh.time_ms, fresh.event_hash), fresh)
    return sorted(known.values())[-MAX_ACTIONS:]


def recent_actions(entries: Sequence[Entry]) -> RecentActions:
    """Return a merged state in the online store's form."""
    if not entries:
        return RecentActions()
    times, _, items, actions, dwell = zip(*entries, strict=True)
    return RecentActions(items, actions, times, dwell)
