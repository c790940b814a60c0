"""Touches of a source's log and their decayed sums by day, over arrays; the reference is `recloop.aggregates`.

Days are numbers since 1970. A row of a day sums up that day and all before, and is known from the day's end on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_DAY
from training.data.dataset import Ints
from training.source.log import Bools, SourceLog

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Touches:
    """One row per user, item and day with any event; `heads` has a column per Head, true when any event's is."""

    users: Ints
    items: Ints
    days: Ints
    heads: Bools
    first_ms: Ints
    last_ms: Ints

    def where(self, kept: Bools) -> Touches:
        """Return some of the touches."""
        return Touches(*(values[kept] for values in vars(self).values()))


@dataclass(frozen=True)
class Daily:
    """The days on which something happened to each key: one row per key and day, in that order.

    `rows` has the row of each thing that happened.
    """

    keys: Ints
    days: Ints
    rows: Ints

    def __len__(self) -> int:
        return len(self.keys)

    def sums(self, values: NDArray[np.generic]) -> Floats:
        """Return the sum per row, without what was before; `values` has a number per thing that happened."""
        return np.bincount(self.rows, weights=values, minlength=len(self)).astype(np.float64)

    def decayed(self, sums: Floats, *, half_life: float) -> Floats:
        """Return the sums with those of the days before added, which count half as much after so many days."""
        totals = np.array(sums, dtype=np.float64)
        # Row by row, and not as one running sum of grown numbers: those of many years would overflow.
        fade = 0.5 ** (np.diff(self.days, prepend=0) / half_life)
        for rows in self._by_place()[1:]:
            totals[rows] += totals[rows - 1] * fade[rows]
        return totals

    def first_rows(self) -> Ints:
        """Return for each row the first one of its key."""
        return np.searchsorted(self.keys, self.keys, side="left")

    def newest(self, keys: Ints, days: Ints) -> Ints:
        """Return the row of each key's newest day up to and including a day; -1 where there is none."""
        if not len(self):
            return np.full(len(keys), -1)
        first, span = int(self.days.min()), int(np.ptp(self.days)) + 1
        # A day before all others ends among the key before, and is told by that.
        asked = keys * span + np.clip(days - first, -1, span - 1)
        found = np.searchsorted(self.keys * span + self.days - first, asked, side="right") - 1
        return np.where((found >= 0) & (self.keys[found] == keys), found, -1)

    def _by_place(self) -> list[Ints]:
        """Return the first rows of all keys, then the second ones, and so on: as many steps as a key has days."""
        place = np.arange(len(self)) - self.first_rows()
        order = np.argsort(place, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(place[order])) + 1)


def by_day(keys: Ints, days: Ints) -> Daily:
    """Group what happened by key and day; one key and one day per thing."""
    if not len(days):
        return Daily(days, days, days)
    first, span = int(days.min()), int(np.ptp(days)) + 1
    groups, rows = np.unique(keys * span + days - first, return_inverse=True)
    return Daily(groups // span, groups % span + first, rows)


def find_touches(log: SourceLog) -> Touches:
    """Return the touches of a log."""
    days = log.times_ms // MS_PER_DAY
    pairs = by_day(log.users * len(log.item_ids) + log.items, days)
    n = len(pairs)
    heads = np.zeros((n, log.heads.shape[1]), dtype=np.bool_)
    for place in range(heads.shape[1]):
        heads[pairs.rows[log.heads[:, place]], place] = True
    first_ms, last_ms = np.full(n, np.iinfo(np.int64).max), np.full(n, np.iinfo(np.int64).min)
    np.minimum.at(first_ms, pairs.rows, log.times_ms)
    np.maximum.at(last_ms, pairs.rows, log.times_ms)
    return Touches(*np.divmod(pairs.keys, len(log.item_ids)), pairs.days, heads, first_ms, last_ms)


def newest_readable_day(times_ms: Ints, delay: timedelta) -> Ints:
    """Return the newest day whose rows were readable at each moment: ended, and `delay` ago or more."""
    return (times_ms - delay // timedelta(milliseconds=1)) // MS_PER_DAY - 1
