"""Train the three model families on a training set, judge them on later time, and write the bundle.

In: the folder of `jobs.etl.build_training_set`; or a data source, of which the same folder is made here without Spark,
and then, after the judgement, the trees are grown anew on everything before DATE, the holdout too.
Out: a sealed bundle; the last line printed is a JSON object.
Run: python -m training.train --training-set DIR --out DIR [--epochs N] [--device cpu|cuda|auto] [--seed S]
     python -m training.train --data SOURCE:DIR --until DATE --out DIR [...]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recloop import cli
from recloop.clock import MS_PER_DAY, SystemClock
from recloop.extras import Extras
from recloop.features import EVERYONE, MAX_POPULAR_ITEMS, POPULARITY_HALF_LIFE_DAYS
from recloop.labels import Head
from recloop.recommend import FoldIn, Recommender, Retriever
from recloop.settings import Settings, load_settings
from recloop.sources import FORMS, open_source
from recloop.sources.base import moment
from training.bundle import Trained, ranking_features, write_bundle
from training.costs import Stopwatch, peak_memory_mb
from training.data.dataset import Ints, TrainingSet
from training.data.outcomes import BY_ACTION
from training.data.reader import read_training_set
from training.data.requests import sample_requests
from training.evaluate import Evaluation, evaluate
from training.retrieval.collaborative import CollaborativeModel, train_collaborative
from training.retrieval.sequence import SequenceResult, torch_encoder, train_sequence
from training.source.build import build_source_set
from training.stacking.row_statistics import RowStatistics
from training.stacking.rows import (
    Rows,
    concatenate,
    example_rows,
    learn_vocabularies,
    request_rows,
    shown,
    with_extras,
)
from training.stacking.stack import Stack, train_stack

LOG = logging.getLogger(__name__)
N_REQUEST_USERS, REQUESTS_PER_USER = 600, 3
MAX_EXAMPLE_ROWS = 200_000
"""Of more label rows and sampled negatives of the stack span, the newest are learned from."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train and write one bundle."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--training-set", type=Path, help="folder made by jobs.etl.build_training_set")
    data.add_argument("--data", metavar="SOURCE", help=FORMS)
    parser.add_argument("--until", type=cli.day_or_time, metavar="DATE", help="with --data: the last day to learn from")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle; replaced when it exists")
    parser.add_argument("--epochs", type=int, help="most epochs of the transformer (default: RECLOOP_EPOCHS)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: RECLOOP_DEVICE")
    parser.add_argument("--seed", type=int, help="default: RECLOOP_SEED")
    args = parser.parse_args(argv)
    if bool(args.data) != bool(args.until):
        parser.error("--data and --until go together")

    def command() -> int:
        # OpenMP's threads spin while they wait; beside other processes that made training fifteen times slower.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        given = {name: getattr(args, name) for name in ("epochs", "device", "seed") if getattr(args, name) is not None}
        settings = Settings.model_validate(load_settings().model_dump() | given)
        if args.data:
            report = train_on_source(args.data, args.until, args.out, settings=settings)
        else:
            report = train(args.training_set, args.out, settings=settings)
        print(json.dumps(report))
        return 0

    return cli.run(command)


def train_on_source(name: str, until: date | datetime, out: Path, *, settings: Settings) -> dict[str, Any]:
    """Train on a data source's events up to and including a day; see `train`.

    Raises:
        SourceError: a file of the source is missing, or is not what its format says.
        TrainingError: the events before the end cannot be used.
    """
    source = open_source(name, downloads=settings.var_dir / "data")
    window = timedelta(hours=settings.attribution_window_hours)
    with TemporaryDirectory(prefix="training-set-") as folder:
        place = Path(folder) / "set"
        build_source_set(source, place, until=moment(source, until, ends=True), window=window, seed=settings.seed)
        return train(place, out, settings=settings, refit_holdout=True)


def train(folder: Path, out: Path, *, settings: Settings, refit_holdout: bool = False) -> dict[str, Any]:
    """Train everything and write the bundle; return what the last line of the command says.

    With `refit_holdout` the metrics are those of the models before it, and the bundle's trees and statistics know the
    holdout too: what is served tomorrow should know yesterday. Two bundles made so cannot be compared on that holdout.

    Raises:
        TrainingError: the training set cannot be used, or the loss stopped being a number; nothing is written then.
    """
    started, watch = time.monotonic(), Stopwatch()
    with watch.part("read"):
        training_set = read_training_set(folder)
    with watch.part("collaborative"):
        collaborative = train_collaborative(training_set, seed=settings.seed)
    with watch.part("sequence"):
        sequence = train_sequence(training_set, epochs=settings.epochs, seed=settings.seed, device=settings.device)

    def stacked(end_ms: int) -> Trained:
        with watch.part("rows"):
            extras, rows = stack_rows(training_set, collaborative, sequence, end_ms=end_ms, seed=settings.seed)
        with watch.part("stack"):
            stack = train_stack(rows, names=ranking_features(extras), seed=settings.seed)
        return Trained(training_set, collaborative, sequence, extras, stack)

    trained = stacked(training_set.split.holdout_ms)
    judged: list[Evaluation] = []

    def judge(recommender: Recommender) -> dict[str, Any]:
        if not judged:
            with watch.part("evaluate"):
                judged.append(evaluate(recommender, training_set, settings=settings))
        facts = {"learned_until_ms": trained.extras.statistics.until_ms}
        return judged[0].to_dict() | facts | _costs(watch, sequence, trained.stack)

    created_at = SystemClock().now()
    manifest = write_bundle(out, trained, created_at=created_at, seed=settings.seed, judge=judge)
    if refit_holdout:
        trained = stacked(training_set.split.end_ms)
        manifest = write_bundle(out, trained, created_at=created_at, seed=settings.seed, judge=judge)
    return {
        "rows_in": len(training_set.interactions.items) + len(training_set.examples),
        "rows_out": len(manifest.files),
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
        "bundle": str(out),
        "bundle_id": manifest.bundle_id,
        **judged[0].to_dict(),
        "parts": watch.seconds,
    }


def stack_rows(
    training_set: TrainingSet,
    collaborative: CollaborativeModel,
    sequence: SequenceResult,
    *,
    end_ms: int,
    seed: int,
) -> tuple[Extras, Rows]:
    """Return the rows from the stack span's start to an end, both kinds, scored by the base models, and their extras.

    The extras' statistics are those known at the end; the rows have what was known at their own moments.
    """
    split = training_set.split
    examples = stack_examples(training_set, split.stack_ms, end_ms)
    vocabularies = learn_vocabularies(training_set, training_set.between(split.stack_ms, end_ms))
    retriever = Retriever(
        items=training_set.items,
        popularity={EVERYONE: popular_at(training_set, split.stack_ms)},
        fold_in=FoldIn(collaborative.factors, regularization=collaborative.regularization, alpha=collaborative.alpha),
        item_vectors=sequence.item_vectors(),
        encode=torch_encoder(sequence.model),
    )
    requests = sample_requests(
        training_set, start_ms=split.stack_ms, end_ms=end_ms, n_users=N_REQUEST_USERS,
        per_user=REQUESTS_PER_USER, seed=seed,
    )  # fmt: skip
    parts = [example_rows(training_set, retriever, vocabularies, examples)] if len(examples) else []
    if requests:
        parts.append(request_rows(training_set, retriever, vocabularies, requests, seed=seed))
    counted = RowStatistics(training_set)
    blank = counted.blank(until_ms=end_ms)
    rows = with_extras(training_set, counted, concatenate(parts), Extras(vocabularies, blank), snapshots_to_ms=end_ms)
    return Extras(vocabularies, counted.table(until_ms=end_ms, specs=blank.specs)), rows


def stack_examples(training_set: TrainingSet, start_ms: int, end_ms: int) -> Ints:
    """Return the examples of a span to learn from: what was shown; where nothing was, what was met and sampled."""
    examples = training_set.between(start_ms, end_ms)
    exposures = examples[shown(training_set, examples)]
    return (exposures if len(exposures) else examples)[-MAX_EXAMPLE_ROWS:]


def popular_at(training_set: TrainingSet, time_ms: int) -> Ints:
    """Return the most popular rows at a moment, best first: what the stack span's retrieval may know."""
    log = training_set.interactions
    kept = BY_ACTION[Head.CLICK][log.actions] & (log.times_ms < time_ms)
    weights = 0.5 ** ((time_ms - log.times_ms[kept]) / MS_PER_DAY / POPULARITY_HALF_LIFE_DAYS)
    sums = np.bincount(log.items[kept], weights=weights, minlength=len(training_set.items))
    order = np.argsort(-sums, kind="stable")[:MAX_POPULAR_ITEMS]
    return order[sums[order] > 0]


def _costs(watch: Stopwatch, sequence: SequenceResult, stack: Stack) -> dict[str, Any]:
    return {
        "seconds": dict(watch.seconds),
        "peak_memory_mb": peak_memory_mb(),
        "transformer": {"epochs": sequence.epochs, "validation_loss": min(sequence.losses), "losses": sequence.losses},
        "trees": {str(head): rounds for head, rounds in stack.rounds.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
