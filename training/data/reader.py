"""Read and check a training-set folder.

In: the files of `recloop.training_set`, as `jobs.etl.build_training_set` writes them.
Out: `training.data.dataset.TrainingSet`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.attributes import USER_ATTRIBUTES, parse_attributes
from recloop.errors import TrainingError
from recloop.features import USER_PROFILE, contract_id
from recloop.labels import Head
from recloop.ranking import ITEM_NUMBER_COLUMNS, Items, fade
from recloop.sequences import ACTION_CODES
from recloop.splits import TimeSplit
from recloop.statistics import hash_texts
from recloop.tables import Column
from recloop.training_set import (
    EXAMPLE_COLUMNS,
    EXPOSURE_COLUMNS,
    INTERACTION_COLUMNS,
    ITEM_COLUMNS,
    POPULARITY_COLUMNS,
    USER_COLUMNS,
    TrainingFile,
    ms,
)
from training.data.dataset import ITEM_FLOATS, USER_NUMBERS, Examples, Exposures, Interactions, Ints, TrainingSet

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


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
        exposures=_read_exposures(folder / TrainingFile.EXPOSURES, items),
        users=_read_users(folder / TrainingFile.USERS),
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


@contextmanager
def _opened(path: Path, columns: Sequence[str], **options: Any) -> Iterator[pq.ParquetFile]:
    """Open a file that has the columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # ParquetFile, not read_table: of a path that looks partitioned it would make columns.
        with pq.ParquetFile(path, **options) as file:
            missing = [column for column in columns if column not in file.schema_arrow.names]
            if missing:
                raise TrainingError(
                    f"{path.name} lacks the column {missing[0]}. Run jobs.etl.build_training_set again."
                )
            yield file
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{path} cannot be read: {error}. Run jobs.etl.build_training_set again.") from error


def _read_table(path: Path, columns: Sequence[str], *, may_be_empty: bool = False) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    with _opened(path, columns) as file:
        table = file.read(columns=list(columns))
    if not len(table) and not may_be_empty:
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


def _lists(table: pa.Table, name: str, first: Ints, group: Ints) -> NDArray[np.object_]:
    """Return lists as tuples, an empty one where NULL; rows of one group share theirs, read from its first row."""
    distinct = np.empty(len(first), dtype=object)
    distinct[:] = [tuple(values) if values else () for values in table[name].take(first).to_pylist()]
    found: NDArray[np.object_] = distinct[group]
    return found


def _read_items(path: Path, as_of_ms: int) -> Items:
    table = _read_table(path, ITEM_COLUMNS)
    ids = table[Column.ITEM_ID].to_pylist()
    if len(set(ids)) < len(ids):
        raise TrainingError(f"{path.name}: {len(ids) - len(set(ids))} of {len(ids)} items are named twice.")
    numbers = _numbers(table, ITEM_NUMBER_COLUMNS)
    feature_ms = _numbers(table, ["item_feature_ms"])[:, 0]
    for column, name in enumerate(ITEM_FLOATS):
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
    table = _read_table(path, [name for name in EXAMPLE_COLUMNS if name != USER_ATTRIBUTES])
    mappings, places = _read_attributes(path)
    table = table.append_column(USER_ATTRIBUTES, [places])
    # By moment, then user: examples of one request lie together, and a span of time is a slice.
    table = table.sort_by([(ms(Column.EVENT_TIME), "ascending"), (Column.USER_ID, "ascending")])
    users = _strings(table, Column.USER_ID)
    # Rows of one user and feature_time hold the same lists.
    as_of = _numbers(table, ["user_feature_ms"])[:, 0]
    _, codes = np.unique(users.astype(str), return_inverse=True)
    _, first, group = np.unique(
        np.column_stack([codes, np.nan_to_num(as_of, nan=-1)]), axis=0, return_index=True, return_inverse=True
    )
    return Examples(
        user_ids=users,
        items=_rows_of(path, _strings(table, Column.ITEM_ID), items),
        times_ms=table[ms(Column.EVENT_TIME)].to_numpy().astype(np.int64),
        surfaces=_strings(table, Column.SURFACE),
        devices=_strings(table, Column.DEVICE),
        labels={head: table[head].to_numpy().astype(np.int8) for head in Head},
        sampled=table[Column.SAMPLED].to_numpy(zero_copy_only=False).astype(bool),
        origins=_strings(table, Column.ORIGIN),
        user_numbers=_numbers(table, USER_NUMBERS),
        categories=_lists(table, "user_categories", first, group),
        category_weights=_lists(table, "user_category_weights", first, group),
        profile={name: _strings(table, name) for name in (Column.SEGMENT, Column.AGE_GROUP, Column.GENDER)},
        attributes=mappings[table[USER_ATTRIBUTES].to_numpy()],
        item_numbers=_numbers(table, [*ITEM_FLOATS, "item_first_ms"]),
        item_as_of_ms=_numbers(table, ["item_feature_ms"])[:, 0],
    )


def _read_attributes(path: Path) -> tuple[NDArray[np.object_], Ints]:
    """Return the distinct mappings in a file, and the place of each row's among them.

    One row group at a time: Arrow reads no more than 2 GiB of texts into a column of lists.
    """
    known: dict[int, dict[str, str]] = {}
    hashes = []
    with _opened(path, [USER_ATTRIBUTES]) as file:
        paths = [file.schema.column(place).path for place in range(len(file.schema))]
    # Each text once per row group; what its path below the column's name is depends on who wrote the file.
    texts = [name for name in paths if name.split(".")[0] == USER_ATTRIBUTES]
    with _opened(path, [USER_ATTRIBUTES], read_dictionary=texts) as file:
        for group in range(file.num_row_groups):
            lists = file.read_row_group(group, columns=[USER_ATTRIBUTES])[USER_ATTRIBUTES].combine_chunks()
            own = _list_hashes(lists)
            for key, row in zip(*(each.tolist() for each in np.unique(own, return_index=True)), strict=True):
                if key not in known:
                    known[key] = parse_attributes(lists[row].as_py())
            hashes.append(own)
    keys, places = np.unique(np.concatenate(hashes), return_inverse=True)
    mappings = np.empty(len(keys), dtype=object)
    mappings[:] = [known[key] for key in keys.tolist()]
    return mappings, places.astype(np.int64)


def _list_hashes(lists: pa.Array) -> NDArray[np.uint64]:
    """Return 64 bits of each list: the sum of its texts' hashes; 0 of one that is empty or NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = lists.flatten()
    if not pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_encode()
    own = hash_texts(texts.dictionary.to_pylist())[texts.indices.to_numpy()]
    running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(own, dtype=np.uint64)])
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    ends = np.cumsum(lengths)
    hashes: NDArray[np.uint64] = running[ends] - running[ends - lengths]
    return hashes


def _read_exposures(path: Path, items: Items) -> Exposures:
    table = _read_table(path, EXPOSURE_COLUMNS, may_be_empty=True)
    # As with interactions, what left the catalogue teaches nothing about the others.
    table = table.filter(
        np.array([item_id in items.index for item_id in table[Column.ITEM_ID].to_pylist()], dtype=bool)
    )
    return Exposures(
        user_ids=_strings(table, Column.USER_ID),
        items=_rows_of(path, _strings(table, Column.ITEM_ID), items),
        times_ms=table[ms(Column.EVENT_TIME)].to_numpy().astype(np.int64),
        known_ms=table[ms(Column.KNOWN_AT)].to_numpy().astype(np.int64),
        surfaces=_strings(table, Column.SURFACE),
        labels={head: table[head].to_numpy().astype(np.int8) for head in Head},
    )


def _read_users(path: Path) -> dict[str, dict[str, str]]:
    table = _read_table(path, USER_COLUMNS, may_be_empty=True)
    columns = {name: table[name].to_pylist() for name in USER_PROFILE.names if name != USER_ATTRIBUTES}
    profiles = [
        {name: value for name, value in zip(columns, values, strict=True) if value}
        for values in zip(*columns.values(), strict=True)
    ]
    attributes = [parse_attributes(texts) for texts in table[USER_ATTRIBUTES].to_pylist()]
    found = zip(table[Column.USER_ID].to_pylist(), profiles, attributes, strict=True)
    return {user_id: profile | own for user_id, profile, own in found}


def _read_popularity(path: Path) -> dict[str, list[tuple[str, float]]]:
    table = _read_table(path, POPULARITY_COLUMNS)
    columns = [table[name].to_pylist() for name in POPULARITY_COLUMNS]
    return {segment: list(zip(ids, weights, strict=True)) for segment, ids, weights in zip(*columns, strict=True)}
