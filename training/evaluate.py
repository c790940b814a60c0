"""Judge a bundle on later time: a training set's holdout, or days of a data source that it did not learn from.

In: a sealed bundle, by folder or MLflow address; what judges it. Out: a JSON report: slates against popularity on the
same requests; heads on exposures with intervals; of a source also by slice, and a file of every probability.
Everything is scored through `recloop.recommender.Recommender`, as serving does; the last line printed is a JSON object.
Run: python -m training.evaluate --bundle BUNDLE --training-set DIR --report FILE.json
     python -m training.evaluate --bundle BUNDLE --data SOURCE:DIR --from DATE --to DATE --report FILE.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recloop import cli
from recloop.metrics import FEW_RESAMPLES
from recloop.recommender import Recommender
from recloop.settings import Settings, load_settings
from recloop.sources import FORMS, open_source
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.judging.heads import ScoredRows, head_report, in_sample_note, judged_rows, score_rows, slice_report
from training.judging.slates import BY_SEGMENT, MODEL, POPULARITY, NoRequests, Slates, judge_slates
from training.judging.slices import Masks, slice_masks
from training.judging.source import evaluate_source
from training.registry import find_bundle
from training.reports import check_writable, write_report
from training.scoring import load_bundle

__all__ = ["BY_SEGMENT", "MODEL", "POPULARITY", "Evaluation", "evaluate", "evaluate_bundle", "main"]

MAX_HEAD_ROWS = 10_000
"""Of more label rows, every second, third, … judges the heads."""


@dataclass(frozen=True)
class Evaluation(Slates):
    """What was measured of the slates, and of each head, on the whole and by slice.

    `rows` were judged, the same of every bundle as the requests are; `row_slices` says which of them are of one slice.
    There is a note if the bundle learned what judges it.
    """

    heads: dict[str, dict[str, Any]]
    head_slices: dict[str, dict[str, dict[str, Any]]]
    rows: ScoredRows
    row_slices: Masks
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what reports and manifests hold of it."""
        return {"note": self.note, "offline": self.offline, "heads": self.heads, "slices": self.head_slices}


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate one bundle."""
    args = _parse(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.report, args.scores)
        settings = load_settings()
        with TemporaryDirectory(prefix="bundle-") as folder:
            recommender = load_bundle(find_bundle(args.bundle, Path(folder), settings))
        report = _report(recommender, args, settings)
        write_report(args.report, report)
        heads = {head: {name: found[name] for name in ("auc", "gauc")} for head, found in report["heads"].items()}
        print(json.dumps({"heads": heads, "report": str(args.report)}))
        return 0

    return cli.run(command)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    where = "its folder, or in MLflow models:/NAME@ALIAS, runs:/… or champion"
    parser.add_argument("--bundle", required=True, help=where)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--training-set", type=Path, metavar="DIR", help="folder whose holdout judges it")
    data.add_argument("--data", metavar="SOURCE", help=f"{FORMS}: a span of it judges")
    day = "a day of the source's own calendar, or a time as 2022-05-01T12:00:00Z"
    first, last = f"first day of the span: {day}", "last day, whole; a time is itself not included"
    parser.add_argument("--from", dest="start", type=cli.day_or_time, metavar="DATE", help=first)
    parser.add_argument("--to", dest="end", type=cli.day_or_time, metavar="DATE", help=last)
    parser.add_argument("--report", type=Path, required=True, metavar="FILE", help="JSON file to write")
    scores = "with --data: Parquet file to write, a row per judged example"
    parser.add_argument("--scores", type=Path, metavar="FILE", help=scores)
    args = parser.parse_args(argv)
    if (args.data is None) != (args.start is None) or (args.data is None) != (args.end is None):
        parser.error("--data, --from and --to go together")
    if args.scores is not None and args.data is None:
        parser.error("--scores goes with --data")
    return args


def _report(recommender: Recommender, args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    if args.data is None:
        return evaluate(recommender, read_training_set(args.training_set), settings=settings).to_dict()
    source = open_source(args.data, downloads=settings.var_dir / "data")
    return evaluate_source(recommender, source, start=args.start, end=args.end, settings=settings, scores=args.scores)


def evaluate_bundle(bundle: Path, training_set: Path, *, settings: Settings) -> Evaluation:
    """Load a bundle as serving does and evaluate it on the holdout of a training set."""
    return evaluate(load_bundle(bundle), read_training_set(training_set), settings=settings)


def evaluate(recommender: Recommender, training_set: TrainingSet, *, settings: Settings) -> Evaluation:
    """Evaluate a recommender on the holdout: slates, and heads on at most MAX_HEAD_ROWS examples.

    Where no user of the holdout came to like anything new, slates have a note in place of numbers.
    """
    try:
        slates = judge_slates(recommender, training_set, settings=settings)
    except NoRequests as error:
        slates = Slates.nothing(str(error))
    rows, _ = judged_rows(training_set, training_set.split.holdout_ms, training_set.split.end_ms)
    rows = rows[:: max(1, -(-len(rows) // MAX_HEAD_ROWS))]
    scored = score_rows(recommender, training_set, rows)
    note = in_sample_note(recommender.manifest, training_set.examples.times_ms[rows])
    heads = head_report(scored, seed=settings.seed, n_resamples=FEW_RESAMPLES)
    masks = slice_masks(training_set, rows, before_ms=training_set.split.holdout_ms)
    by_slice = slice_report(scored, masks, seed=settings.seed)
    return Evaluation(**vars(slates), heads=heads, head_slices=by_slice, rows=scored, row_slices=masks, note=note)


if __name__ == "__main__":
    sys.exit(main())
