"""A training set in memory: typed arrays in which an item is its catalogue row and a time int64 milliseconds.

`training.data.reader.read_training_set` makes one of a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.events import INTERACTIONS
from recloop.features import ITEM_DAILY, USER_DAILY, Kind
from recloop.labels import Head
from recloop.ranking import Context, Items, UserState
from recloop.sequences import MAX_ACTIONS, RecentActions
from recloop.splits import TimeSplit

Ints = NDArray[np.int64]
USER_NUMBERS = tuple(spec.name for spec in USER_DAILY.features if spec.kind in {Kind.FLOAT, Kind.LONG})
ITEM_FLOATS = tuple(spec.name for spec in ITEM_DAILY.features if spec.kind is Kind.FLOAT)


@dataclass(frozen=True)
class Interactions:
    """The log, sorted by user and time; row `starts[u]:starts[u + 1]` is user `user_ids[u]`."""

    user_ids: tuple[str, ...]
    starts: Ints
    items: Ints
    actions: Ints
    times_ms: Ints
    dwell_ms: Ints
    index: Mapping[str, int]

    def span(self, user_id: str, *, before_ms: int | None = None) -> slice:
        """Return the rows of one user, those strictly before a moment; empty for an unknown user."""
        user = self.index.get(user_id)
        if user is None:
            return slice(0, 0)
        first, last = int(self.starts[user]), int(self.starts[user + 1])
        if before_ms is not None:
            last = first + int(np.searchsorted(self.times_ms[first:last], before_ms, side="left"))
        return slice(first, last)

    def recent(self, user_id: str, *, before_ms: int, items: Items) -> RecentActions:
        """Return what the online store would have held of a user at a moment."""
        rows = self.span(user_id, before_ms=before_ms)
        rows = slice(max(rows.start, rows.stop - MAX_ACTIONS), rows.stop)
        return RecentActions(
            tuple(items.ids[row] for row in self.items[rows]),
            tuple(INTERACTIONS[code - 1] for code in self.actions[rows]),
            tuple(self.times_ms[rows].tolist()),
            tuple(self.dwell_ms[rows].tolist()),
        )


@dataclass(frozen=True)
class Examples:
    """Label rows and sampled negatives with their point-in-time features; parallel arrays, oldest first.

    `attributes` has a mapping of name to value per row; rows with the same attributes share theirs.
    """

    user_ids: NDArray[np.object_]
    items: Ints
    times_ms: Ints
    surfaces: NDArray[np.object_]
    devices: NDArray[np.object_]
    labels: Mapping[Head, NDArray[np.int8]]
    sampled: NDArray[np.bool_]
    origins: NDArray[np.object_]
    user_numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    category_weights: NDArray[np.object_]
    profile: Mapping[str, NDArray[np.object_]]
    attributes: NDArray[np.object_]
    item_numbers: NDArray[np.float64]
    item_as_of_ms: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Exposures:
    """Everything that was shown, in the order its outcomes became known; parallel arrays."""

    user_ids: NDArray[np.object_]
    items: Ints
    times_ms: Ints
    known_ms: Ints
    surfaces: NDArray[np.object_]
    labels: Mapping[Head, NDArray[np.int8]]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class TrainingSet:
    """Everything a training run reads; `users` maps a user to the profile and attributes known of them, by name."""

    interactions: Interactions
    examples: Examples
    exposures: Exposures
    users: Mapping[str, Mapping[str, str]]
    items: Items
    popularity: Mapping[str, list[tuple[str, float]]]
    split: TimeSplit
    snapshot: Mapping[str, Any]

    def user_state(self, row: int, *, with_seen: bool = True) -> UserState:
        """Return the user of an example as serving would have seen them at the example's moment.

        Ranking does not read what was seen; without it the state costs half.
        """
        examples = self.examples
        user_id, time_ms = str(examples.user_ids[row]), int(examples.times_ms[row])
        numbers = dict(zip(USER_NUMBERS, examples.user_numbers[row], strict=True))
        recent = self.interactions.recent(user_id, before_ms=time_ms, items=self.items)
        known = {name: float(value) for name, value in numbers.items() if not np.isnan(value)}
        as_of = known.get("user_feature_ms")
        return UserState(
            user_id,
            numbers=known,
            as_of_ms=None if as_of is None else int(as_of),
            category_weights=dict(zip(examples.categories[row], examples.category_weights[row], strict=True)),
            seen_items=self.seen_before(user_id, time_ms) if with_seen else frozenset(),
            recent=recent,
            attributes=examples.attributes[row],
            **{name: column[row] for name, column in examples.profile.items()},
        )

    def seen_before(self, user_id: str, time_ms: int) -> frozenset[str]:
        """Return the items a user had interacted with before a moment; those are never shown again."""
        rows = self.interactions.items[self.interactions.span(user_id, before_ms=time_ms)]
        return frozenset(self.items.ids[row] for row in np.unique(rows))

    def context(self, row: int) -> Context:
        """Return what was known only at the moment of an example."""
        examples = self.examples
        return Context(int(examples.times_ms[row]), examples.surfaces[row], examples.devices[row])

    def requests(self, rows: Ints) -> Iterator[Ints]:
        """Yield examples that share user and moment: one request each. `rows` must be sorted."""
        if not len(rows):
            return
        users, times = self.examples.user_ids[rows], self.examples.times_ms[rows]
        change = np.flatnonzero((users[1:] != users[:-1]) | (times[1:] != times[:-1])) + 1
        yield from np.split(rows, change)

    def between(self, start_ms: int, end_ms: int) -> Ints:
        """Return the rows of the examples in `[start, end)`."""
        times = self.examples.times_ms
        return np.flatnonzero((times >= start_ms) & (times < end_ms))
