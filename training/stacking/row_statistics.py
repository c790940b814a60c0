"""Statistics of a training set's rows, each from what was known before it, and the table a bundle carries.

In: the exposures and interactions of a training set. Out: the columns of `recloop.statistics` for any rows (user, item,
moment), and `Statistics` as of a moment. Sums are taken in time order; no row sees its own outcome, nor any that was
not known when the row's hour began. Costs grow with rows x statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_DAY
from recloop.labels import Head
from recloop.statistics import (
    BASE_STATISTICS,
    MOVES_EVERY_MS,
    N_SUMS,
    Hashes,
    Part,
    Statistic,
    Statistics,
    Stream,
    Sums,
    hash_texts,
    item_parts,
    keys_of,
)
from training.data.dataset import Exposures, Ints, TrainingSet
from training.data.outcomes import interaction_outcomes

SNAPSHOT_MS = 2 * MS_PER_DAY
"""Fixed statistics keep still for so long in training, and are a day old on average; in serving they are older
(docs/adr/0010-statistics-in-the-bundle.md has by how much)."""


@dataclass(frozen=True)
class Moments:
    """Rows to describe or to count: who, what, where, when; parallel arrays. An item is its catalogue row."""

    user_ids: NDArray[np.object_]
    items: Ints
    surfaces: NDArray[np.object_]
    times_ms: Ints

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[np.bool_] | Ints | slice) -> Moments:
        """Return some rows; of a slice, views."""
        return Moments(self.user_ids[rows], self.items[rows], self.surfaces[rows], self.times_ms[rows])

    @classmethod
    def of(cls, parts: Sequence[Moments]) -> Moments:
        """Return all rows of the parts, in their order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


class RowStatistics:
    """Counts a training set once and describes rows by it."""

    def __init__(self, training_set: TrainingSet) -> None:
        self._items = item_parts(training_set.items)
        self._users = training_set.users
        self._streams = {
            Stream.EXPOSURES: _Counted.of_exposures(training_set.exposures),
            Stream.INTERACTIONS: _Counted.of_interactions(training_set),
        }
        self._parts = {stream: self._part_hashes(counted.moments) for stream, counted in self._streams.items()}

    def table(self, *, until_ms: int, specs: Sequence[Statistic]) -> Statistics:
        """Return the statistics as they were known at a moment."""
        keys, sums = [np.empty(0, dtype=np.uint64)], [np.empty((0, N_SUMS))]
        for spec in specs:
            counted = self._streams[spec.stream]
            known = counted.moments.times_ms < until_ms
            own = np.broadcast_to(keys_of(spec, self._parts[spec.stream].get), len(known))[known]
            distinct, group = np.unique(own, return_inverse=True)
            keys.append(distinct)
            sums.append(
                np.column_stack(
                    [np.bincount(group, weights=part, minlength=len(distinct)) for part in counted.values[known].T]
                )
            )
        flat = np.concatenate(keys)
        order = np.argsort(flat)
        means = {str(stream): counted.means(until_ms) for stream, counted in self._streams.items()}
        return Statistics(tuple(specs), flat[order], np.vstack(sums)[order].astype(np.float32), means, until_ms)

    def blank(self, *, until_ms: int) -> Statistics:
        """Return statistics without a table: what rows before `until_ms` are described by comes in time order alone."""
        full = self.table(until_ms=until_ms, specs=())
        return replace(full, specs=BASE_STATISTICS, until_ms=0)

    def columns(
        self, rows: Moments, statistics: Statistics, *, snapshots_to_ms: int | None = None
    ) -> NDArray[np.float32]:
        """Return float32 [rows, names]: the table of `statistics`, and what became known since.

        Args:
            rows: what to describe.
            statistics: of a bundle, or `blank`.
            snapshots_to_ms: in training, the moment that snapshots of the fixed statistics are counted back from; None
                as in serving: they stay as the table has them.
        """
        parts = self._part_hashes(rows)
        hours = rows.times_ms // MOVES_EVERY_MS * MOVES_EVERY_MS
        fixed = np.zeros_like(hours)
        if snapshots_to_ms is not None:
            fixed = snapshots_to_ms + (rows.times_ms - snapshots_to_ms) // SNAPSHOT_MS * SNAPSHOT_MS

        def sums(spec: Statistic) -> Sums:
            keys = np.broadcast_to(keys_of(spec, parts.get), len(rows))
            since = self._since(spec, keys, fixed if spec.fixed else hours, statistics.until_ms)
            return statistics.lookup(keys) + since

        return statistics.rates(map(sums, statistics.specs), n_rows=len(rows))

    def _since(self, spec: Statistic, keys: Hashes, moments_ms: Ints, start_ms: int) -> Sums:
        counted = self._streams[spec.stream]
        kept = (counted.moments.times_ms >= start_ms) & (counted.moments.times_ms < moments_ms.max(initial=0))
        if not kept.any():
            return np.zeros((len(keys), N_SUMS))
        own = np.broadcast_to(keys_of(spec, self._parts[spec.stream].get), len(kept))[kept]
        return sums_before(own, counted.moments.times_ms[kept], counted.values[kept], keys, moments_ms)

    def _part_hashes(self, rows: Moments) -> _Parts:
        return _Parts(rows, self._items, self._users)


class _Parts:
    """The hashes of rows by part, each made when it is first asked for."""

    def __init__(self, rows: Moments, items: Mapping[str, Hashes], users: Mapping[str, Mapping[str, str]]) -> None:
        self._rows, self._items, self._users = rows, items, users
        self._known: dict[str, Hashes] = {}
        self._distinct, self._codes = np.unique(rows.user_ids.astype(str), return_inverse=True)

    def get(self, name: str) -> Hashes:
        if name in self._items:
            return self._items[name][self._rows.items]
        if name not in self._known:
            self._known[name] = self._make(name)
        return self._known[name]

    def _make(self, name: str) -> Hashes:
        if name == Part.SURFACE:
            return hash_texts(self._rows.surfaces)
        if name == Part.USER:
            return hash_texts(self._distinct.tolist())[self._codes]
        return hash_texts([self._users.get(user, {}).get(name) for user in self._distinct.tolist()])[self._codes]


@dataclass(frozen=True)
class _Counted:
    """What statistics add up: `values` float64 [n, N_SUMS], known from the moments' `times_ms` on.

    An exposure is counted when it is shown, and what came of it when that is known: one that is clicked a day later
    must not be missing until then, or its absence would tell of the click.
    """

    moments: Moments
    values: Sums

    @classmethod
    def of_exposures(cls, shown: Exposures) -> _Counted:
        labels = np.column_stack([shown.labels[head] for head in Head])
        good = np.flatnonzero(labels.any(axis=1))
        begun = Moments(shown.user_ids, shown.items, shown.surfaces, shown.times_ms)
        settled = Moments(shown.user_ids, shown.items, shown.surfaces, shown.known_ms).take(good)
        return cls(Moments.of([begun, settled]), np.vstack([_ones(0 * labels), _ones(labels[good], count=0)]))

    @classmethod
    def of_interactions(cls, training_set: TrainingSet) -> _Counted:
        log = training_set.interactions
        done, outcomes = interaction_outcomes(training_set)
        users = np.repeat(np.array(log.user_ids, dtype=object), np.diff(log.starts))[done]
        return cls(
            Moments(users, log.items[done], np.full(len(done), None, dtype=object), log.times_ms[done]), _ones(outcomes)
        )

    def means(self, until_ms: int) -> list[float]:
        totals = self.values[self.moments.times_ms < until_ms].sum(axis=0)
        return [float(total / max(totals[0], 1)) for total in totals[1:]]


def _ones(outcomes: NDArray[Any], *, count: int = 1) -> Sums:
    return np.column_stack([np.full(len(outcomes), count), outcomes]).astype(np.float64)


def sums_before(keys: Hashes, times_ms: Ints, values: Sums, asked: Hashes, asked_ms: Ints) -> Sums:
    """Return, per asked key and moment, the sums of the values of that key strictly before the moment."""
    distinct, codes = np.unique(keys, return_inverse=True)
    first_ms = int(times_ms.min())
    reach = int(max(times_ms.max(), asked_ms.max(initial=first_ms))) - first_ms + 2
    ranked = codes * reach + (times_ms - first_ms)
    order = np.argsort(ranked, kind="stable")
    running = np.vstack([np.zeros(values.shape[1]), np.cumsum(values[order], axis=0)])
    ranked = ranked[order]
    places = np.minimum(np.searchsorted(distinct, asked), len(distinct) - 1)
    known = distinct[places] == asked
    low = np.searchsorted(ranked, places * reach)
    high = np.searchsorted(ranked, places * reach + np.clip(asked_ms - first_ms, 0, reach - 1))
    return np.where(known[:, None], running[high] - running[low], 0.0)
