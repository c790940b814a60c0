"""A data source's events before a moment, read once into arrays: the log behind a training set where no lake is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recloop.clock import format_time, to_ms
from recloop.errors import TrainingError
from recloop.events import Action, Event
from recloop.features import Kind
from recloop.labels import Head, outcome
from recloop.sequences import event_hash
from recloop.sources import Source
from recloop.tables import CLEAN_EVENTS, Column
from recloop.training_set import EVENT_HASH, INTERACTION_COLUMNS, codes, ms
from training.data.dataset import Ints

LOG = logging.getLogger(__name__)
Bools = NDArray[np.bool_]
BATCH_ROWS = 2_000
ARROW_TYPES: dict[str, pa.DataType] = {
    "int": pa.int32(),
    "double": pa.float64(),
    Kind.FLOAT: pa.float32(),
    Kind.LONG: pa.int64(),
    Kind.STRING: pa.string(),
    Kind.STRINGS: pa.list_(pa.string()),
    Kind.FLOATS: pa.list_(pa.float32()),
}
"""Spark's type names, as the kernel's tables and features give them → what a training set holds."""

TIME_MS = ms(Column.EVENT_TIME)
_COPIED = (
    Column.EVENT_ID,
    Column.USER_ID,
    Column.ITEM_ID,
    Column.SLATE_ID,
    Column.POSITION,
    Column.PROPENSITY,
    Column.SURFACE,
    Column.DEVICE,
    Column.DWELL_MS,
)


@dataclass(frozen=True)
class SourceLog:
    """Events in order of time, at one millisecond impressions first, then by event id; all arrays are parallel.

    `users` and `items` are places in `user_ids` and `item_ids`, which are sorted; `heads` has a column per Head, true
    where the event alone makes it positive. `span` has the first and last time of the whole source, `left_out` how many
    of all its lines were malformed and how many events repeated an id.
    """

    columns: pa.Table
    user_ids: NDArray[np.object_]
    item_ids: NDArray[np.object_]
    users: Ints
    items: Ints
    times_ms: Ints
    interacted: Bools
    heads: Bools
    span: tuple[datetime, datetime]
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.times_ms)


def read_log(source: Source, *, until: datetime) -> SourceLog:
    """Read a source's events before a moment; times are cut to milliseconds, the grain of every reader.

    What the source left out is logged as a warning, with the reason of the first malformed line.

    Raises:
        SourceError: a file of the source is not what its format says.
        TrainingError: no event lies before `until`.
    """
    end_ms = to_ms(until)
    batches: list[pa.RecordBatch] = []
    span: tuple[datetime, datetime] | None = None
    events = iter(source.events())
    # In pieces: models of all events at once would take ten times the memory of their columns.
    while piece := list(islice(events, BATCH_ROWS)):
        span = (span or (piece[0].event_time,))[0], piece[-1].event_time
        kept = [event for event in piece if to_ms(event.event_time) < end_ms]
        if kept:
            batches.append(_batch(kept))
    if span is None or not batches:
        found = "no event" if span is None else f"events from {format_time(span[0])} to {format_time(span[1])}"
        raise TrainingError(
            f"the source {source.name} holds {found}; expected some before {format_time(until)}. Choose a later end."
        )
    return _in_order(pa.Table.from_batches(batches), span, _left_out(source))


def interaction_rows(log: SourceLog) -> pa.Table:
    """Return every interaction by user, time and hash, as `interactions.parquet` holds them; a missing dwell is 0."""
    rows = log.columns.filter(pa.array(log.interacted))
    dwell = rows.column_names.index(Column.DWELL_MS)
    rows = rows.set_column(dwell, str(Column.DWELL_MS), rows[Column.DWELL_MS].fill_null(0))
    order = (Column.USER_ID, TIME_MS, EVENT_HASH)
    return rows.select([str(name) for name in INTERACTION_COLUMNS]).sort_by(
        [(str(name), "ascending") for name in order]
    )


def _left_out(source: Source) -> dict[str, int]:
    malformed, repeated = len(source.malformed), source.repeated
    if malformed:
        LOG.warning("%s: left out %d malformed lines, the first for this: %s", source.name, malformed, source.reason)
    if repeated:
        LOG.warning("%s: left out %d events that repeat an earlier one.", source.name, repeated)
    return {"malformed": malformed, "repeated": repeated}


def _batch(events: Sequence[Event]) -> pa.RecordBatch:
    columns = {str(name): pa.array([getattr(event, name) for event in events], _type(name)) for name in _COPIED}
    columns[Column.ACTION] = pa.array([event.action.value for event in events], pa.string())
    columns[TIME_MS] = pa.array([to_ms(event.event_time) for event in events], pa.int64())
    columns[EVENT_HASH] = pa.array([event_hash(event.event_id) for event in events], pa.int64())
    outcomes = [outcome(event) for event in events]
    columns |= {str(head): pa.array([each[head] for each in outcomes], pa.bool_()) for head in Head}
    return pa.RecordBatch.from_pydict(columns)


def _type(name: Column) -> pa.DataType:
    return ARROW_TYPES[CLEAN_EVENTS.columns[name]]


def _in_order(events: pa.Table, span: tuple[datetime, datetime], left_out: dict[str, int]) -> SourceLog:
    interacted = "interacted"
    events = events.append_column(interacted, pc.not_equal(events[Column.ACTION], Action.IMPRESSION.value))
    events = events.sort_by([(name, "ascending") for name in (TIME_MS, interacted, Column.EVENT_ID.value)])
    user_ids, users = codes(events[Column.USER_ID])
    item_ids, items = codes(events[Column.ITEM_ID])
    flags = [events[name].to_numpy() for name in (interacted, *Head)]
    return SourceLog(
        columns=events.drop_columns([interacted, *Head]),
        user_ids=user_ids,
        item_ids=item_ids,
        users=users,
        items=items,
        times_ms=events[TIME_MS].to_numpy(),
        interacted=flags[0],
        heads=np.column_stack(flags[1:]),
        span=span,
        left_out=left_out,
    )
