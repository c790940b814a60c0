"""Judge a bundle on the holdout: time that none of its parts learned from.

In: a sealed bundle and its training set, or a span of a data source. Out: a JSON report: slates against popularity on
the same requests; heads on exposures, of a source's span with intervals and by slice.
Everything is scored through `recloop.recommend.Recommender`, as serving does.
Run: python -m training.evaluate --bundle DIR --training-set DIR --report FILE.json
     python -m training.evaluate --bundle DIR --data SOURCE:DIR --from DATE --to DATE --report FILE.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop import cli
from recloop.errors import TrainingError
from recloop.metrics import (
    average_precision_at_k,
    bootstrap_interval,
    catalogue_coverage,
    intra_list_diversity,
    ndcg_at_k,
    novelty,
    precision_at_k,
    recall_at_k,
)
from recloop.ranking import Items
from recloop.recommend import Recommender
from recloop.settings import Settings, load_settings
from recloop.slates import value
from recloop.sources import FORMS, open_source
from training.dataset import Ints, TrainingSet
from training.dataset_reader import read_training_set
from training.judge_heads import head_report, judged_rows, score_rows
from training.registry import find_bundle
from training.requests import Request, sample_requests
from training.scoring import load_bundle

K = 10
N_USERS, PER_USER = 600, 5
BATCH = 64
MAX_HEAD_ROWS = 10_000
"""Of more label rows, every second, third, … judges the heads."""

N_RESAMPLES = 300
MODEL, POPULARITY, BY_SEGMENT = "model", "popularity", "popularity_by_segment"


class NoRequests(TrainingError):
    """A span has no moment after which a user liked something new: no slate can be judged by it."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured. `ndcg` has per-request ndcg@10 of the model and of each baseline, in the order of `user_ids`.

    The requests come from the training set and the seed alone: two bundles are judged on the same ones.
    """

    user_ids: list[str]
    ndcg: dict[str, NDArray[np.float64]]
    offline: dict[str, Any]
    heads: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return what reports and manifests hold of it."""
        return {"offline": self.offline, "heads": self.heads}


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate one bundle."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--bundle", required=True, help="folder of the sealed bundle, or an MLflow address of one")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--training-set", type=Path, help="folder whose holdout judges it")
    data.add_argument("--data", metavar="SOURCE", help=f"{FORMS}: a span of it judges")
    parser.add_argument("--from", dest="start", type=cli.day_or_time, metavar="DATE", help="first day of the span")
    parser.add_argument("--to", dest="end", type=cli.day_or_time, metavar="DATE", help="last day of the span, whole")
    parser.add_argument("--report", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--scores", type=Path, help="Parquet file to write, a row per judged example")
    args = parser.parse_args(argv)
    if (args.data is None) != (args.start is None) or (args.data is None) != (args.end is None):
        parser.error("--data, --from and --to go together")

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        settings = load_settings()
        with TemporaryDirectory(prefix="bundle-") as folder:
            recommender = load_bundle(find_bundle(args.bundle, Path(folder), settings))
        report = _report(recommender, args, settings)
        args.report.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        heads = {head: {name: found[name] for name in ("auc", "gauc")} for head, found in report["heads"].items()}
        print(json.dumps({"heads": heads, "report": str(args.report)}))
        return 0

    return cli.run(command)


def _report(recommender: Recommender, args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    if args.data is None:
        return evaluate(recommender, read_training_set(args.training_set), settings=settings).to_dict()
    from training.evaluate_source import evaluate_source

    source = open_source(args.data, downloads=settings.var_dir / "data")
    return evaluate_source(recommender, source, start=args.start, end=args.end, settings=settings, scores=args.scores)


def evaluate_bundle(bundle: Path, training_set: Path, *, settings: Settings) -> Evaluation:
    """Load a bundle as serving does and evaluate it on the holdout of a training set."""
    return evaluate(load_bundle(bundle), read_training_set(training_set), settings=settings)


def evaluate(recommender: Recommender, training_set: TrainingSet, *, settings: Settings) -> Evaluation:
    """Evaluate a recommender on the holdout: slates, and heads on at most MAX_HEAD_ROWS examples.

    Raises:
        NoRequests: no user of the holdout came to like anything new.
    """
    slates = evaluate_slates(recommender, training_set, settings=settings)
    rows, _ = judged_rows(training_set, training_set.split.holdout_ms, training_set.split.end_ms)
    rows = rows[:: max(1, -(-len(rows) // MAX_HEAD_ROWS))]
    scored = score_rows(recommender, training_set, rows)
    return replace(slates, heads=head_report(scored, seed=settings.seed, n_resamples=N_RESAMPLES))


def evaluate_slates(recommender: Recommender, training_set: TrainingSet, *, settings: Settings) -> Evaluation:
    """Evaluate the slates alone.

    Raises:
        NoRequests: no user of the holdout came to like anything new.
    """
    split = training_set.split
    requests = sample_requests(
        training_set, start_ms=split.holdout_ms, end_ms=split.end_ms, n_users=N_USERS, per_user=PER_USER,
        seed=settings.seed,
    )  # fmt: skip
    if not requests:
        raise NoRequests(
            "the holdout has no moment after which a user liked something new; no slate can be judged. "
            "Train until a later time, or on a longer span."
        )
    slates = {MODEL: model_slates(recommender, training_set, requests, settings.value_weights)}
    known = [_in_bundle(recommender, training_set, request) for request in requests]
    slates[POPULARITY] = [_popular(recommender, request, None) for request in requests]
    slates[BY_SEGMENT] = [_popular(recommender, request, request.user.segment) for request in requests]
    users = [request.user.user_id for request in requests]
    popularity = _shares(recommender, training_set)
    ndcg: dict[str, NDArray[np.float64]] = {}
    offline: dict[str, Any] = {}
    for name, lists in slates.items():
        ndcg[name], offline[name] = _measure(lists, known, popularity, recommender.items)
    difference = bootstrap_interval(ndcg[MODEL] - ndcg[POPULARITY], groups=users, seed=settings.seed)
    offline["ndcg_difference_interval"] = [difference.low, difference.high]
    offline["n_requests"], offline["n_users"] = len(requests), len(set(users))
    return Evaluation(users, ndcg, offline, {})


def model_slates(
    recommender: Recommender, training_set: TrainingSet, requests: list[Request], weights: dict[str, float]
) -> list[Ints]:
    """Return the model's first K catalogue rows per request, exploration off."""
    slates = []
    for first in range(0, len(requests), BATCH):
        group = requests[first : first + BATCH]
        cf, sequence = recommender.batch_scores([(request.user, request.context) for request in group])
        for place, request in enumerate(group):
            nominated = recommender.nominate(request.user, cf_scores=cf[place], sequence_scores=sequence[place])
            scored = recommender.rank(request.user, nominated, context=request.context)
            order = np.argsort(-value(scored.heads, weights), kind="stable")[:K]
            slates.append(nominated.rows[order])
    return slates


def _in_bundle(recommender: Recommender, training_set: TrainingSet, request: Request) -> Ints:
    """Return the relevant items as rows of the bundle's catalogue; one that it lacks counts as missed."""
    ids = [training_set.items.ids[row] for row in request.relevant]
    return np.array([recommender.items.index.get(item_id, -1) for item_id in ids], dtype=np.int64)


def _popular(recommender: Recommender, request: Request, segment: str | None) -> Ints:
    rows = recommender.popular(segment)
    seen = recommender.items.rows([*request.user.seen_items])
    return rows[~np.isin(rows, seen)][:K]


def _shares(recommender: Recommender, training_set: TrainingSet) -> NDArray[np.float64]:
    """Return each item's smoothed share of all interactions before the holdout."""
    log = training_set.interactions
    counts = np.ones(len(recommender.items))
    before = np.bincount(log.items[log.times_ms < training_set.split.holdout_ms], minlength=len(training_set.items))
    for item_id, count in zip(training_set.items.ids, before, strict=True):
        if item_id in recommender.items.index:
            counts[recommender.items.index[item_id]] += count
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _measure(
    slates: list[Ints], relevant: list[Ints], shares: NDArray[np.float64], items: Items
) -> tuple[NDArray[np.float64], dict[str, float]]:
    hits = [np.isin(slate, wanted).tolist() for slate, wanted in zip(slates, relevant, strict=True)]
    counts = [len(wanted) for wanted in relevant]
    pairs = list(zip(hits, counts, strict=True))
    ndcg = np.array([ndcg_at_k(hit, K, n_relevant=n) for hit, n in pairs])
    return ndcg, {
        f"ndcg_at_{K}": float(ndcg.mean()),
        f"map_at_{K}": float(np.mean([average_precision_at_k(hit, K, n_relevant=n) for hit, n in pairs])),
        f"precision_at_{K}": float(np.mean([precision_at_k(hit, K) for hit in hits])),
        f"recall_at_{K}": float(np.mean([recall_at_k(hit, K, n_relevant=n) for hit, n in pairs])),
        f"coverage_at_{K}": catalogue_coverage(slates, n_items=len(items)),
        f"novelty_at_{K}": novelty(slates, shares),
        f"diversity_at_{K}": intra_list_diversity(slates, items.categories),
    }


if __name__ == "__main__":
    sys.exit(main())
