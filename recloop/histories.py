"""Histories as models read them: a user's newest actions as small integers, newest last, 0 = padding.

An item is its catalogue row + 1. Training makes its windows of these codes and serving encodes each request by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_SECOND
from recloop.ranking import Items
from recloop.sequences import ACTION_CODES, MAX_ACTIONS, RecentActions

GAP_BUCKETS = 32
"""Time gaps are encoded as floor(log2(seconds)) + 1, clipped; 0 is padding."""

Codes = NDArray[Any]
"""Integers of any width."""


def gap_buckets(gaps_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bucket of each time gap: 1 below two seconds, one more for each doubling.

    >>> gap_buckets(np.array([0, 2_000, 4_000, 10**15])).tolist()
    [1, 2, 3, 31]
    """
    seconds = np.maximum(gaps_ms / MS_PER_SECOND, 1.0)
    return np.minimum(np.floor(np.log2(seconds)).astype(np.int64) + 1, GAP_BUCKETS - 1)


@dataclass(frozen=True)
class Histories:
    """The newest actions before each request, [requests, length ≤ MAX_ACTIONS], newest last, item 0 = padding.

    `gaps` are `gap_buckets` of an action's age at the request, `dwells` the same of how long it was looked at, 0 where
    nobody said.
    """

    items: Codes
    actions: Codes
    gaps: Codes
    dwells: Codes

    def __post_init__(self) -> None:
        shapes = {part.shape for part in self.parts}
        if len(shapes) > 1 or self.items.ndim != 2 or self.items.shape[1] > MAX_ACTIONS:
            raise ValueError(
                f"items, actions, gaps and dwells have the shapes {[part.shape for part in self.parts]}; expected one "
                f"shape [requests, length], length at most {MAX_ACTIONS}."
            )

    def __len__(self) -> int:
        return len(self.items)

    @property
    def parts(self) -> tuple[Codes, Codes, Codes, Codes]:
        """Return the four arrays in the order in which models take them."""
        return self.items, self.actions, self.gaps, self.dwells

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of actions in each history."""
        lengths: NDArray[np.int64] = (self.items > 0).sum(axis=1)
        return lengths

    def take(self, requests: NDArray[np.integer]) -> Histories:
        """Return some histories, without the columns that are padding in all of them, all but one."""
        chosen = self.items[requests] > 0
        width = chosen.shape[1] - int(chosen.any(axis=0).argmax()) if chosen.any() else 1
        return Histories(*(part[requests, -width:] for part in self.parts))

    @classmethod
    def blank(cls, n: int) -> Histories:
        """Return n histories without an action, MAX_ACTIONS long; the integers are narrow: many are kept."""
        narrow = (np.zeros((n, MAX_ACTIONS), dtype=np.int8) for _ in range(3))
        return cls(np.zeros((n, MAX_ACTIONS), dtype=np.int32), *narrow)

    @classmethod
    def of(cls, parts: Sequence[Histories]) -> Histories:
        """Return all histories of the parts, which are of one length, in their order."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*(part.parts for part in parts), strict=True)))


def encode_histories(asked: Sequence[tuple[RecentActions, int]], items: Items) -> Histories:
    """Return the histories of requests, each its actions and its moment, [len(asked), MAX_ACTIONS].

    An item that the catalogue lacks is left out.
    """
    found = Histories.blank(len(asked))
    for place, (recent, now_ms) in enumerate(asked):
        known = [at for at, item_id in enumerate(recent.item_ids) if item_id in items.index][-MAX_ACTIONS:]
        if not known:
            continue
        own = slice(MAX_ACTIONS - len(known), None)
        found.items[place, own] = [items.index[recent.item_ids[at]] + 1 for at in known]
        found.actions[place, own] = [ACTION_CODES[recent.actions[at]] for at in known]  # type: ignore[index]
        found.gaps[place, own] = gap_buckets(now_ms - np.array([recent.times_ms[at] for at in known]))
        dwells_ms = np.array([recent.dwell_ms[at] for at in known])
        found.dwells[place, own] = np.where(dwells_ms > 0, gap_buckets(dwells_ms), 0)
    return found
