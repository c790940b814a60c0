"""Train the three model families on a training set, judge them on later time, and write the bundle.

In: the folder of `jobs.etl.build_training_set`. Out: a sealed bundle; the last line printed is a JSON object.
Run: python -m training.train --training-set DIR --out DIR [--epochs N] [--device cpu|cuda|auto] [--seed S]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recloop import cli
from recloop.clock import MS_PER_DAY, SystemClock
from recloop.features import EVERYONE, MAX_POPULAR_ITEMS, POPULARITY_HALF_LIFE_DAYS
from recloop.labels import Head
from recloop.ranking import Vocabularies
from recloop.recommend import FoldIn, Recommender, Retriever
from recloop.settings import Settings, load_settings
from training.bundle import Trained, write_bundle
from training.collaborative import CollaborativeModel, train_collaborative
from training.costs import Stopwatch, peak_memory_mb
from training.dataset import Ints, TrainingSet
from training.dataset_reader import read_training_set
from training.evaluate import Evaluation, evaluate
from training.requests import BY_ACTION, sample_requests
from training.sequence import SequenceResult, torch_encoder, train_sequence
from training.stack import Stack, train_stack
from training.stack_rows import Rows, concatenate, example_rows, learn_vocabularies, request_rows

LOG = logging.getLogger(__name__)
N_REQUEST_USERS, REQUESTS_PER_USER = 600, 3
MAX_EXAMPLE_ROWS = 40_000
"""Of more label rows and sampled negatives of the stack span, the newest are learned from."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train and write one bundle."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--training-set", type=Path, required=True, help="folder made by jobs.etl.build_training_set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle; replaced when it exists")
    parser.add_argument("--epochs", type=int, help="most epochs of the transformer (default: RECLOOP_EPOCHS)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: RECLOOP_DEVICE")
    parser.add_argument("--seed", type=int, help="default: RECLOOP_SEED")
    args = parser.parse_args(argv)

    def command() -> int:
        # OpenMP's threads spin while they wait; beside other processes that made training fifteen times slower.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        given = {name: getattr(args, name) for name in ("epochs", "device", "seed") if getattr(args, name) is not None}
        settings = Settings.model_validate(load_settings().model_dump() | given)
        print(json.dumps(train(args.training_set, args.out, settings=settings)))
        return 0

    return cli.run(command)


def train(folder: Path, out: Path, *, settings: Settings) -> dict[str, Any]:
    """Train everything and write the bundle; return what the last line of the command says.

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
    with watch.part("rows"):
        vocabularies, rows = stack_rows(training_set, collaborative, sequence, seed=settings.seed)
    with watch.part("stack"):
        stack = train_stack(rows, seed=settings.seed)
    judged: list[Evaluation] = []

    def judge(recommender: Recommender) -> dict[str, Any]:
        with watch.part("evaluate"):
            judged.append(evaluate(recommender, training_set, settings=settings))
        return judged[0].to_dict() | _costs(watch, sequence, stack)

    trained = Trained(training_set, collaborative, sequence, vocabularies, stack)
    manifest = write_bundle(out, trained, created_at=SystemClock().now(), seed=settings.seed, judge=judge)
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
    training_set: TrainingSet, collaborative: CollaborativeModel, sequence: SequenceResult, *, seed: int
) -> tuple[Vocabularies, Rows]:
    """Return the vocabularies and the rows of the stack span, both kinds, scored by the base models."""
    split = training_set.split
    examples = training_set.between(split.stack_ms, split.holdout_ms)[-MAX_EXAMPLE_ROWS:]
    vocabularies = learn_vocabularies(training_set, examples)
    retriever = Retriever(
        items=training_set.items,
        popularity={EVERYONE: popular_at(training_set, split.stack_ms)},
        fold_in=FoldIn(collaborative.factors, regularization=collaborative.regularization, alpha=collaborative.alpha),
        item_vectors=sequence.item_vectors(),
        encode=torch_encoder(sequence.model),
    )
    requests = sample_requests(
        training_set, start_ms=split.stack_ms, end_ms=split.holdout_ms, n_users=N_REQUEST_USERS,
        per_user=REQUESTS_PER_USER, seed=seed,
    )  # fmt: skip
    parts = [example_rows(training_set, retriever, vocabularies, examples)] if len(examples) else []
    if requests:
        parts.append(request_rows(training_set, retriever, vocabularies, requests, seed=seed))
    return vocabularies, concatenate(parts)


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
