"""Label rows of a source's log: the rule of `recloop.labels.attribute` over arrays."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recloop.labels import Head
from recloop.tables import Column, Origin
from recloop.training_set import EXPOSURE_COLUMNS, EXPOSURE_ORDER, ms
from training.data.dataset import Ints
from training.source.log import TIME_MS, Bools, SourceLog

_CONTEXT = (
    Column.USER_ID,
    Column.ITEM_ID,
    Column.SLATE_ID,
    Column.POSITION,
    Column.PROPENSITY,
    Column.SURFACE,
    Column.DEVICE,
)


def label_rows(log: SourceLog, *, window: timedelta, start_ms: int, most: int | None = None) -> pa.Table:
    """Return the newest `most` label rows from a moment on, in order of time and label: `examples.parquet` up to hide.

    An outcome is an interaction less than `window` after its impression, as far as the log goes.
    """
    rows, outcomes, _ = attribute(log, window=window)
    late = log.times_ms[rows] >= start_ms
    rows, outcomes = rows[late], outcomes[late]
    causes = log.columns.take(rows)
    origins = np.where(log.interacted[rows], Origin.ORGANIC.value, Origin.IMPRESSION.value)
    columns = {
        Column.LABEL_ID.value: causes[Column.EVENT_ID],
        Column.ORIGIN.value: pa.array(origins, pa.string()),
        TIME_MS: causes[TIME_MS],
        **{name.value: causes[name] for name in _CONTEXT},
        **{str(head): pa.array(outcomes[:, place].astype(np.int32)) for place, head in enumerate(Head)},
    }
    newest = pa.table(columns).sort_by([(TIME_MS, "descending"), (Column.LABEL_ID.value, "ascending")])
    kept = newest if most is None else newest.slice(0, most)
    return kept.sort_by([(TIME_MS, "ascending"), (Column.LABEL_ID.value, "ascending")])


def exposure_rows(log: SourceLog, *, window: timedelta) -> pa.Table:
    """Return the label rows that an impression began, in the order their outcomes were known: `exposures.parquet`."""
    rows, outcomes, known_ms = attribute(log, window=window)
    shown = ~log.interacted[rows]
    rows, outcomes, known_ms = rows[shown], outcomes[shown], known_ms[shown]
    causes = log.columns.take(rows)
    columns = {name: causes[name] for name in EXPOSURE_COLUMNS if name in causes.column_names} | {
        ms(Column.KNOWN_AT): pa.array(known_ms),
        **{str(head): pa.array(outcomes[:, place].astype(np.int32)) for place, head in enumerate(Head)},
    }
    order = [(str(name), "ascending") for name in EXPOSURE_ORDER]
    return pa.table({str(name): columns[name] for name in EXPOSURE_COLUMNS}).sort_by(order)


def attribute(log: SourceLog, *, window: timedelta) -> tuple[Ints, Bools, Ints]:
    """Return the places in the log of all label rows' causes, ascending, their outcomes, a column per head, and the
    time of the newest event of each row.
    """
    done, cause = np.flatnonzero(log.interacted), _causes(log)
    age_ms = log.times_ms[done] - log.times_ms[cause]
    organic = (cause < 0) | (age_ms >= window // timedelta(milliseconds=1))
    cause[organic] = _first_of_moment(log, done[organic])
    is_cause = ~log.interacted
    is_cause[cause] = True
    outcomes = np.zeros((len(log), len(Head)), dtype=np.bool_)
    for place in range(len(Head)):
        outcomes[cause[log.heads[done, place]], place] = True
    known_ms = log.times_ms.copy()
    np.maximum.at(known_ms, cause, log.times_ms[done])
    rows = np.flatnonzero(is_cause)
    return rows, outcomes[rows], known_ms[rows]


def _causes(log: SourceLog) -> Ints:
    """Return for each interaction the place of the newest impression of its pair that may explain it; -1: none.

    How long ago that was is not looked at: when the newest is too old, so are all others.
    """
    done, shown = np.flatnonzero(log.interacted), np.flatnonzero(~log.interacted)
    pairs = _compact(log.users * len(log.item_ids) + log.items)
    slates = _slates(log)
    in_slate = _compact(pairs * (slates.max(initial=0) + 1) + np.maximum(slates, 0))
    of_any = _newest_before(pairs[shown], shown, pairs[done], done)
    # An interaction that names a slate belongs to an impression of that slate, or to one that names none.
    named, unnamed = shown[slates[shown] >= 0], shown[slates[shown] < 0]
    of_slate = _newest_before(in_slate[named], named, in_slate[done], done)
    of_none = _newest_before(pairs[unnamed], unnamed, pairs[done], done)
    return np.where(slates[done] < 0, of_any, np.maximum(of_slate, of_none))


def _newest_before(keys: Ints, places: Ints, asked: Ints, at: Ints) -> Ints:
    """Return for each asked key the largest place of that key below `at`; -1 where there is none.

    A log is ordered so that an impression comes before what it may have caused; places are below 2^31.
    """
    size = int(max(places.max(initial=0), at.max(initial=0))) + 1
    known = np.sort(keys * size + places)
    if not len(known):
        return np.full(len(asked), -1)
    index = np.searchsorted(known, asked * size + at) - 1
    found = known[index]
    return np.where((index >= 0) & (found // size == asked), found % size, -1)


def _first_of_moment(log: SourceLog, rows: Ints) -> Ints:
    """Return for each organic interaction the one that stands for its user, item and millisecond: the smallest id."""
    pairs = log.users[rows] * len(log.item_ids) + log.items[rows]
    moments = np.unique(log.times_ms[rows], return_inverse=True)[1]
    _, first, group = np.unique(_compact(pairs) * (len(rows) + 1) + moments, return_index=True, return_inverse=True)
    standing: Ints = rows[first[group]]
    return standing


def _slates(log: SourceLog) -> Ints:
    encoded = log.columns[Column.SLATE_ID].combine_chunks().dictionary_encode()
    slates: Ints = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    return slates


def _compact(keys: Ints) -> Ints:
    """Return equal numbers for equal keys, from 0 without gaps, so that products of two stay below 2^63."""
    compact: Ints = np.unique(keys, return_inverse=True)[1]
    return compact
