"""Sampled negatives: items a user could have met by then and did not touch, drawn by popularity ^ 0.75.

Every draw is a hash of (seed, label id, attempt), so a row's negatives depend on no other row and no order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_DAY
from recloop.labels import Head
from recloop.tables import Column, Origin
from recloop.training_set import codes, ms

if TYPE_CHECKING:
    import pyarrow as pa

PER_POSITIVE = 4
POPULARITY_POWER = 0.75
MAX_ATTEMPTS = 40
"""After so many draws a row keeps the negatives it has: its user touched nearly everything there is."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Log:
    """All interactions before the end, as parallel arrays of codes and times."""

    users: Ints
    items: Ints
    times_ms: Ints
    n_items: int


def sample_negatives(
    log: Log, *, label_ids: Sequence[str], users: Ints, times_ms: Ints, seed: int
) -> tuple[Ints, Ints]:
    """Return (row, item) of each negative, where `row` counts the positives given.

    Popularity is that of the days before the positive's own day, so nothing of the future shows in what is drawn; an
    item that nobody touched by then is never drawn. An item that the user touched at any time before the end is none.
    """
    touched = np.unique(log.users * log.n_items + log.items)
    log_days, row_days = log.times_ms // MS_PER_DAY, times_ms // MS_PER_DAY
    by_day = np.argsort(log_days, kind="stable")
    ordered_items, ordered_days = log.items[by_day], log_days[by_day]
    counts, done = np.zeros(log.n_items), 0
    rows: list[int] = []
    drawn: list[int] = []
    for day in np.unique(row_days):
        upto = int(np.searchsorted(ordered_days, day, side="left"))
        counts += np.bincount(ordered_items[done:upto], minlength=log.n_items)
        done = upto
        if not counts.any():
            continue
        shares = np.cumsum(counts**POPULARITY_POWER)
        for row in np.flatnonzero(row_days == day):
            items = _draw(label_ids[int(row)], int(users[row]), shares, touched, log.n_items, seed)
            rows += [int(row)] * len(items)
            drawn += items
    return np.array(rows, dtype=np.int64), np.array(drawn, dtype=np.int64)


def _draw(label_id: str, user: int, shares: NDArray[np.float64], touched: Ints, n_items: int, seed: int) -> list[int]:
    chosen: list[int] = []
    for attempt in range(MAX_ATTEMPTS):
        item = int(np.searchsorted(shares, uniform(label_id, attempt, seed) * shares[-1], side="right"))
        item = min(item, n_items - 1)
        pair = user * n_items + item
        place = int(np.searchsorted(touched, pair))
        if item in chosen or (place < len(touched) and touched[place] == pair):
            continue
        chosen.append(item)
        if len(chosen) == PER_POSITIVE:
            break
    return chosen


def uniform(label_id: str, attempt: int, seed: int) -> float:
    """Return a number in [0, 1) that depends on nothing but its arguments.

    >>> uniform("a", 0, 17) == uniform("a", 0, 17), uniform("a", 0, 17) == uniform("a", 1, 17)
    (True, False)
    """
    digest = blake2b(f"{seed}:{attempt}:{label_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def with_negatives(labels: pa.Table, interactions: pa.Table, *, seed: int) -> pa.Table:
    """Return the label rows and, after each clicked organic one, its sampled negatives: other items, all labels 0.

    An impression needs none: what was shown beside it and not clicked is a negative that the user truly met.

    The column `sampled` tells them apart; rows come by time, label, sampled and item.

    Args:
        labels: rows of a training set up to their labels; the user of each clicked one is among the interactions.
        interactions: all of them before the end, at least user, item and time.
        seed: what every draw is derived from.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    time_ms = ms(Column.EVENT_TIME)
    organic = pc.equal(labels[Column.ORIGIN], Origin.ORGANIC.value)
    positives = labels.filter(pc.and_(organic, pc.equal(labels[Head.CLICK], 1)))
    users, items = codes(interactions[Column.USER_ID]), codes(interactions[Column.ITEM_ID])
    log = Log(users[1], items[1], interactions[time_ms].to_numpy(), len(items[0]))
    rows, drawn = sample_negatives(
        log,
        label_ids=positives[Column.LABEL_ID].to_pylist(),
        users=np.searchsorted(users[0], positives[Column.USER_ID].to_numpy(zero_copy_only=False)),
        times_ms=positives[time_ms].to_numpy(),
        seed=seed,
    )
    negatives = positives.take(rows)
    replaced: dict[str, Any] = {Column.ITEM_ID.value: pa.array(items[0][drawn], pa.string())}
    replaced |= {str(head): pa.array(np.zeros(len(rows)), pa.int32()) for head in Head}
    # An item that was not shown had no place in the slate, and no chance of it that the log knows.
    replaced |= {
        name.value: pa.nulls(len(rows), labels.schema.field(name).type) for name in (Column.POSITION, Column.PROPENSITY)
    }
    for name, values in replaced.items():
        negatives = negatives.set_column(negatives.schema.get_field_index(name), name, values)
    parts = [
        table.append_column(Column.SAMPLED.value, pa.array([sampled] * len(table), pa.bool_()))
        for table, sampled in ((labels, False), (negatives.cast(labels.schema), True))
    ]
    order = (time_ms, Column.LABEL_ID.value, Column.SAMPLED.value, Column.ITEM_ID.value)
    return pa.concat_tables(parts).sort_by([(name, "ascending") for name in order])
