"""Measure what retraining is worth: how fast a model that stays as it is falls behind, and what a warm start saves.

In: a data source, and days after which models are trained anew (rolling origin: each knows only what came before).
A bundle is made at each; one more at the last, warm-started from the one before. Each is judged on every later day.
Out: per bundle the costs of its training, its heads' metrics on each later day (the decay curve), and over the days
after the last origin how far the newest is ahead of each other one, with intervals paired by user; how much the first
days after their origins differ between origins. As JSON.
Run: python -m benchmarks.retraining --data SOURCE:DIR --until DATE DATE [...] --to DATE --out FILE.json
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.circumstances import circumstances
from benchmarks.commands import last_line
from recloop.cli import run
from recloop.errors import ConfigurationError
from recloop.head_metrics import auc, grouped_auc, log_loss
from recloop.labels import Head
from recloop.metrics import FEW_RESAMPLES
from recloop.settings import RANKER_CHOICES, load_settings
from recloop.sources import FORMS, open_source
from recloop.sources.base import moment
from recloop.tables import Column
from training.judging.compare import METRICS, VERDICT_HEADS
from training.reports import check_writable, write_report

LOG = logging.getLogger(__name__)
WARM = "warm"

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Origin:
    """A bundle: the last day it learned from, what its training cost, and its chances for the rows of later days."""

    until: date
    training: Mapping[str, Any]
    slates: Mapping[str, Any]
    scores: Columns

    def after(self, start_ms: int, end_ms: int) -> Columns:
        """Return the rows of a span."""
        own = (self.scores["time_ms"] >= start_ms) & (self.scores["time_ms"] < end_ms)
        return {name: column[own] for name, column in self.scores.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retraining", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="SOURCE", help=FORMS)
    day = date.fromisoformat
    parser.add_argument("--until", type=day, nargs="+", required=True, metavar="DATE", help="two origins or more")
    parser.add_argument("--to", type=day, required=True, metavar="DATE", help="the last day to judge on, whole")
    parser.add_argument("--ranker", choices=RANKER_CHOICES, default="off", help="default: off")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    args = parser.parse_args(argv)

    def command() -> int:
        check_writable(args.out)
        origins = sorted(args.until)
        if len(set(origins)) < 2 or args.to <= origins[-1]:
            raise ConfigurationError(
                f"--until has {len(set(origins))} different days and --to is {args.to}; expected two at least, and a "
                "day after the last of them."
            )
        with TemporaryDirectory(prefix="retraining-") as place:
            made = [make(args, until, Path(place)) for until in origins]
            warm = make(args, origins[-1], Path(place), warm_from=origins[-2])
        given = " ".join(map(str, origins))
        facts = {
            "command": (
                f"python -m benchmarks.retraining --data {args.data.split(':')[0]}:DIR --until {given} --to {args.to} "
                f"--ranker {args.ranker} --out FILE.json"
            ),
            **circumstances(),
        }
        found = report(made, warm, Days(args.data), args.to)
        write_report(args.out, facts | found)
        return 0

    return run(command)


class Days:
    """Where the days of a source's own calendar begin."""

    def __init__(self, data: str) -> None:
        self._source = open_source(data, downloads=load_settings().var_dir / "data")

    def start_ms(self, day: date) -> int:
        """Return a day's first moment."""
        return int(moment(self._source, day).timestamp() * 1_000)


def make(args: argparse.Namespace, until: date, place: Path, *, warm_from: date | None = None) -> Origin:
    """Train a bundle up to a day and score every later one."""
    bundle = place / f"{until}{f'-{WARM}' if warm_from else ''}"
    options = ["--data", args.data, "--until", str(until), "--out", str(bundle), "--ranker", args.ranker]
    options += ["--warm-start", str(place / str(warm_from))] if warm_from else []
    training = last_line("training.train", options)
    scores, judged = bundle.with_suffix(".parquet"), bundle.with_suffix(".json")
    span = ["--from", str(until + timedelta(days=1)), "--to", str(args.to)]
    outputs = ["--report", str(judged), "--scores", str(scores)]
    last_line("training.evaluate", ["--bundle", str(bundle), "--data", args.data, *span, *outputs])
    costs = {name: training[name] for name in ("rows_in", "seconds", "peak_memory_mb", "parts")}
    costs["transformer"] = json.loads((bundle / "manifest.json").read_text())["metrics"]["transformer"]
    LOG.info("%s: %s", bundle.name, costs)
    columns = {name: column.to_numpy() for name, column in zip(*_columns(scores), strict=True)}
    return Origin(until, costs, json.loads(judged.read_text())["slates"], columns)


def _columns(path: Path) -> tuple[list[str], list[Any]]:
    table = pq.read_table(path)
    return table.column_names, table.columns


def report(origins: Sequence[Origin], warm: Origin, days: Days, last: date) -> dict[str, Any]:
    """Compare the origins' bundles, and the last with its warm-started twin."""
    newest = origins[-1]
    first_ms, end_ms = days.start_ms(newest.until + timedelta(days=1)), days.start_ms(last + timedelta(days=1))
    shared = newest.after(first_ms, end_ms)
    bundles = {str(origin.until): origin for origin in origins} | {WARM: warm}
    n_days = (last - newest.until).days
    return {
        "trainings": {name: origin.training for name, origin in bundles.items()},
        "slates_of_the_last_days": {str(newest.until): newest.slates, WARM: warm.slates},
        "by_day": {name: decay(origin, days, last) for name, origin in bundles.items()},
        f"newest_less_other_on_{n_days}_days": {
            name: ahead(shared, origin.after(first_ms, end_ms))
            for name, origin in bundles.items()
            if origin is not newest
        },
        f"first_{n_days}_days_after_each_origin": {
            str(origin.until): metrics(
                origin.after(
                    days.start_ms(origin.until + timedelta(days=1)), days.start_ms(origin.until + timedelta(n_days + 1))
                )
            )
            for origin in origins
        },
    }


def decay(origin: Origin, days: Days, last: date) -> dict[str, Any]:
    """Return the metrics of each later day."""
    later = [origin.until + timedelta(days=n) for n in range(1, (last - origin.until).days + 1)]
    return {
        str(day): metrics(origin.after(days.start_ms(day), days.start_ms(day + timedelta(days=1)))) for day in later
    }


def metrics(rows: Columns) -> dict[str, Any]:
    """Return each head's AUC, GAUC and log-loss, rounded; None for what is not defined."""
    found: dict[str, Any] = {"rows": len(rows["time_ms"])}
    for head in _heads(rows):
        labels, chances = rows[head] > 0, rows[f"{head}_chance"]
        numbers = (auc(labels, chances), grouped_auc(labels, chances, rows[Column.USER_ID]), log_loss(labels, chances))
        found[head] = dict(zip(("auc", "gauc", "log_loss"), map(_rounded, numbers), strict=True))
    return found


def ahead(newest: Columns, other: Columns) -> dict[str, Any]:
    """Return by how much the newest bundle is ahead on the same rows: value, low, high."""
    if not all(np.array_equal(newest[name], other[name]) for name in (Column.USER_ID, Column.ITEM_ID, "time_ms")):
        raise ConfigurationError("two bundles were judged on different rows; their days have no common calendar.")
    found: dict[str, Any] = {}
    for head in [head for head in _heads(newest) if head in VERDICT_HEADS]:
        chances = newest[f"{head}_chance"], other[f"{head}_chance"]
        for name, (_, difference_interval) in METRICS.items():
            lead = difference_interval(
                newest[head] > 0, *chances, newest[Column.USER_ID], seed=17, n_resamples=FEW_RESAMPLES
            )
            found[f"{head}_{name}"] = [_rounded(number) for number in (lead.mean, lead.low, lead.high)]
    return found


def _heads(rows: Columns) -> list[Head]:
    return [head for head in Head if head in rows]


def _rounded(number: float) -> float | None:
    return None if np.isnan(number) else round(float(number), 5)


if __name__ == "__main__":
    sys.exit(main())
