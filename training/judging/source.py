"""Judge a bundle on any span of a data source, as serving would have met it; the second form of `training.evaluate`.

The source's whole log until the span's end is read, so that each exposure finds what its user had done before it,
earlier actions of the span included. What the bundle carries stays as it was, but the statistics of items, surfaces and
kinds of users: they move on hour by hour, as the log allows. Serving has those of the bundle until the next one.
"""

from __future__ import annotations

import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recloop.clock import format_time, from_ms
from recloop.errors import TrainingError
from recloop.recommender import Recommender
from recloop.settings import Settings
from recloop.sources import Source
from recloop.sources.base import moment
from recloop.tables import Column
from training.costs import peak_memory_mb
from training.data.dataset import TrainingSet
from training.judging.heads import (
    ScoredRows,
    head_report,
    in_sample_note,
    judged_rows,
    score_rows,
    slice_report,
)
from training.judging.slates import NoRequests, judge_slates
from training.judging.slices import slice_masks
from training.source.read import read_source_set


def evaluate_source(
    recommender: Recommender,
    source: Source,
    *,
    start: date | datetime,
    end: date | datetime,
    settings: Settings,
    scores: Path | None = None,
) -> dict[str, Any]:
    """Return the report of a span, both its days included; a date is a day of the source's own calendar.

    Args:
        recommender: of the bundle.
        source: its log; what it holds before `start` is history.
        start: first day, or a moment.
        end: last day, whole; or a moment, itself not included.
        settings: value weights, attribution window, seed.
        scores: Parquet file to write, a row per judged example: who, what, where, when, and per head label and chance.

    Raises:
        SourceError: a file of the source is missing or not what its format says.
        TrainingError: the span is empty, or ends before it begins.
    """
    started = time.monotonic()
    first, last = moment(source, start), moment(source, end, ends=True)
    if first >= last:
        raise TrainingError(
            f"the span begins at {format_time(first)} and ends at {format_time(last)}; turn them round."
        )
    training_set = read_source_set(source, until=last, judged_from=first, settings=settings)
    rows, origin = judged_rows(training_set, training_set.split.holdout_ms, training_set.split.end_ms)
    scored = score_rows(recommender, training_set, rows)
    if scores is not None:
        write_scores(scored, training_set, scores)
    times = training_set.examples.times_ms[rows]
    masks = slice_masks(training_set, rows, before_ms=training_set.split.holdout_ms)
    return {
        "note": in_sample_note(recommender.manifest, times),
        "heads": head_report(scored, seed=settings.seed),
        "slates": _slates(recommender, training_set, settings),
        "slices": slice_report(scored, masks, seed=settings.seed),
        "data": {
            "source": source.name,
            "from": format_time(first),
            "to": format_time(last),
            "rows": len(rows),
            "rows_from": origin,
            "first": format_time(from_ms(int(times[0]))),
            "last": format_time(from_ms(int(times[-1]))),
            "left_out": training_set.snapshot["left_out"],
        },
        "bundle": recommender.manifest.bundle_id,
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
    }


def _slates(recommender: Recommender, training_set: TrainingSet, settings: Settings) -> dict[str, Any]:
    try:
        return judge_slates(recommender, training_set, settings=settings).offline
    except NoRequests as error:
        return {"note": str(error)}


def write_scores(scored: ScoredRows, training_set: TrainingSet, path: Path) -> None:
    """Write one row per judged example."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = np.array(training_set.items.ids, dtype=object)
    columns: dict[str, Any] = {
        Column.USER_ID: scored.moments.user_ids,
        Column.ITEM_ID: ids[scored.moments.items],
        "time_ms": scored.moments.times_ms,
        Column.SURFACE: scored.moments.surfaces,
    }
    for head, chances in scored.chances.items():
        columns |= {head: scored.labels[head], f"{head}_chance": chances}
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path, compression="zstd")
