"""The training-set folder as typed arrays, checked.

In: the files of `recloop.training_set`, as `jobs.etl.build_training_set` writes them. Out: `TrainingSet`, in which an
item is its catalogue row, a user its row among the users of the interactions, and a time int64 milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from recloop.events import INTERACTIONS
from recloop.features import ITEM_DAILY, USER_DAILY, Kind, contract_id
from recloop.labels import Head
from recloop.ranking import ITEM_NUMBER_COLUMNS, Context, Items, UserState, fade
from recloop.sequences import ACTION_CODES, MAX_ACTIONS, RecentActions
from recloop.splits import TimeSplit
from recloop.tables import Column
from recloop.training_set import (
    EXAMPLE_COLUMNS,
    INTERACTION_COLUMNS,
    ITEM_COLUMNS,
    POPULARITY_COLUMNS,
    TrainingFile,
    ms,
)

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]
USER_NUMBERS = tuple(spec.name for spec in USER_DAILY.features if spec.kind in {Kind.FLOAT, Kind.LONG})
_ITEM_FLOATS = tuple(spec.name for spec in ITEM_DAILY.features if spec.kind is Kind.FLOAT)


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
    """Label rows and sampled negatives with their point-in-time features; parallel arrays, oldest first."""

    user_ids: NDArray[np.object_]
    items: Ints
    times_ms: Ints
    surfaces: NDArray[np.object_]
    devices: NDArray[np.object_]
    labels: Mapping[Head, NDArray[np.int8]]
    sampled: NDArray[np.bool_]
    user_numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    category_weights: NDArray[np.object_]
    profile: Mapping[str, NDArray[np.object_]]
    item_numbers: NDArray[np.float64]
    item_as_of_ms: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class TrainingSet:
    """Everything a training run reads."""

    interactions: Interactions
    examples: Examples
    items: Items
    popularity: Mapping[str, list[tuple[str, float]]]
    split: TimeSplit
    snapshot: Mapping[str, Any]

    def user_state(self, row: int) -> UserState:
        """Return the user of an example as serving would have seen them at the example's moment."""
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
            seen_items=self.seen_before(user_id, time_ms),
            recent=recent,
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


def read_training_set(folder: Path) -> TrainingSet:
    """Read and check a folder.

    Raises:
        TrainingError: a file is missing, cut off or empty, lacks a column, or a number is NaN; or it was made for
            another feature contract.
    """
    snapshot = _read_snapshot(folder / TrainingFile.SNAPSHOT)
    split = TimeSplit(**snapshot["split"])
    items = _read_items(folder / TrainingFile.ITEMS, split.holdout_ms)
    return TrainingSet(
        interactions=_read_interactions(folder / TrainingFile.INTERACTIONS, items),
        examples=_read_examples(folder / TrainingFile.EXAMPLES, items),
        items=items,
        popularity=_read_popularity(folder / TrainingFile.POPULARITY),
        split=split,
        snapshot=snapshot,
    )


def _read_snapshot(path: Path) -> dict[str, Any]:
    try:
        snapshot: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read: {error}. Run jobs.etl.build_training_set again.") from error
    if snapshot["contract_id"] != contract_id():
        raise TrainingError(
            f"{path.name} names feature contract {snapshot['contract_id']}, this code has {contract_id()}. "
            "Run jobs.etl.build_training_set again."
        )
    return snapshot


def _read_table(path: Path, columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        # ParquetFile, not read_table: of a path that looks partitioned it would make columns.
        with pq.ParquetFile(path) as file:
            missing = [column for column in columns if column not in file.schema_arrow.names]
            if missing:
                raise TrainingError(
                    f"{path.name} lacks the column {missing[0]}. Run jobs.etl.build_training_set again."
                )
            table = file.read(columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{path} cannot be read: {error}. Run jobs.etl.build_training_set again.") from error
    if not len(table):
        raise TrainingError(f"{path.name} is empty; expected rows. Ingest events first, or train until a later time.")
    for name, column in zip(table.column_names, table.columns, strict=True):
        n_nan = pc.sum(pc.is_nan(column)).as_py() if pa.types.is_floating(column.type) else 0
        if n_nan:
            raise TrainingError(
                f"{path.name}, column {name}: {n_nan} of {len(table)} values are NaN; an unknown number must be NULL. "
                "Look at the job that computes it."
            )
    return table


def _numbers(table: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    columns = [table[name].cast("float64").to_numpy() for name in names]
    return np.column_stack(columns).astype(np.float64)


def _strings(table: pa.Table, name: str) -> NDArray[np.object_]:
    values: NDArray[np.object_] = table[name].combine_chunks().dictionary_encode().to_numpy(zero_copy_only=False)
    return values.astype(object)


def _lists(table: pa.Table, name: str) -> NDArray[np.object_]:
    """Return lists of Python values, an empty tuple where NULL."""
    found = np.empty(len(table), dtype=object)
    found[:] = [tuple(values) if values else () for values in table[name].to_pylist()]
    return found


def _read_items(path: Path, as_of_ms: int) -> Items:
    table = _read_table(path, ITEM_COLUMNS)
    ids = table[Column.ITEM_ID].to_pylist()
    if len(set(ids)) < len(ids):
        raise TrainingError(f"{path.name}: {len(ids) - len(set(ids))} of {len(ids)} items are named twice.")
    numbers = _numbers(table, ITEM_NUMBER_COLUMNS)
    feature_ms = _numbers(table, ["item_feature_ms"])[:, 0]
    for column, name in enumerate(_ITEM_FLOATS):
        # Each item's newest row is of another day; the catalogue has one moment.
        numbers[:, column] = fade(name, numbers[:, column], feature_ms, as_of_ms)
    return Items(
        ids=tuple(ids),
        titles=tuple(title or "" for title in table[Column.TITLE].to_pylist()),
        categories=tuple(tuple(names or ()) for names in table[Column.CATEGORIES].to_pylist()),
        authors=tuple(table[Column.AUTHOR_ID].to_pylist()),
        numbers=numbers,
        as_of_ms=as_of_ms,
    )


def _rows_of(path: Path, ids: NDArray[np.object_], items: Items) -> Ints:
    rows = np.array([items.index.get(item_id, -1) for item_id in ids], dtype=np.int64)
    if (rows < 0).any():
        raise TrainingError(
            f"{path.name} names {len(set(ids[rows < 0]))} items that {TrainingFile.ITEMS} lacks, {ids[rows < 0][0]} "
            "for one. Run jobs.etl.build_training_set again."
        )
    return rows


def _read_interactions(path: Path, items: Items) -> Interactions:
    table = _read_table(path, INTERACTION_COLUMNS)
    users = _strings(table, Column.USER_ID)
    starts = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]]))
    user_ids = tuple(users[starts])
    times = table[ms(Column.EVENT_TIME)].to_numpy()
    if len(set(user_ids)) < len(user_ids) or (np.diff(times)[users[1:] == users[:-1]] < 0).any():
        raise TrainingError(f"{path.name} is not sorted by user and time. Run jobs.etl.build_training_set again.")
    known = np.array([item_id in items.index for item_id in table[Column.ITEM_ID].to_pylist()])
    if not known.all():
        # An item may have left the catalogue since; what was done with it teaches nothing about the others.
        table, users, times = table.filter(known), users[known], times[known]
        starts = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]]))
        user_ids = tuple(users[starts])
    return Interactions(
        user_ids=user_ids,
        starts=np.append(starts, len(users)).astype(np.int64),
        items=_rows_of(path, _strings(table, Column.ITEM_ID), items),
        actions=np.array([ACTION_CODES[action] for action in table[Column.ACTION].to_pylist()], dtype=np.int64),
        times_ms=times.astype(np.int64),
        dwell_ms=table[Column.DWELL_MS].fill_null(0).to_numpy().astype(np.int64),
        index={user_id: row for row, user_id in enumerate(user_ids)},
    )


def _read_examples(path: Path, items: Items) -> Examples:
    table = _read_table(path, EXAMPLE_COLUMNS)
    # By moment, then user: examples of one request lie together, and a span of time is a slice.
    table = table.sort_by([(ms(Column.EVENT_TIME), "ascending"), (Column.USER_ID, "ascending")])
    return Examples(
        user_ids=_strings(table, Column.USER_ID),
        items=_rows_of(path, _strings(table, Column.ITEM_ID), items),
        times_ms=table[ms(Column.EVENT_TIME)].to_numpy().astype(np.int64),
        surfaces=_strings(table, Column.SURFACE),
        devices=_strings(table, Column.DEVICE),
        labels={head: table[head].to_numpy().astype(np.int8) for head in Head},
        sampled=table[Column.SAMPLED].to_numpy(zero_copy_only=False).astype(bool),
        user_numbers=_numbers(table, USER_NUMBERS),
        categories=_lists(table, "user_categories"),
        category_weights=_lists(table, "user_category_weights"),
        profile={name: _strings(table, name) for name in (Column.SEGMENT, Column.AGE_GROUP, Column.GENDER)},
        item_numbers=_numbers(table, [*_ITEM_FLOATS, "item_first_ms"]),
        item_as_of_ms=_numbers(table, ["item_feature_ms"])[:, 0],
    )


def _read_popularity(path: Path) -> dict[str, list[tuple[str, float]]]:
    table = _read_table(path, POPULARITY_COLUMNS)
    columns = [table[name].to_pylist() for name in POPULARITY_COLUMNS]
    return {segment: list(zip(ids, weights, strict=True)) for segment, ids, weights in zip(*columns, strict=True)}
