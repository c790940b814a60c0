"""Measure what the content tower is worth for items that hardly anybody touched, and what it costs the others.

In: a data source, a last day to learn from and days to judge on. Of some items, drawn by chance, nothing is left in the
base span, of as many only what 3 users did; both base models train without the rest. Then each item that a user liked
when first meeting it in the days to judge is ranked among all that the user had not met, and among those of its own
kind, by either model's score: without the tower, with it, and with its vectors dealt out among the untouched items anew
(`shuffled`), which keeps how high they stand and takes away what the catalogue says of each.
Out: recall@20, recall@100 and the mean percentile (1: above all others) with bootstrap intervals over users and over
items, and every place, as JSON.
Run: python -m benchmarks.cold_items --data SOURCE:DIR --until DATE --from DATE --to DATE --out FILE.json
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.circumstances import circumstances
from recloop.cli import day_or_time, run
from recloop.metrics import bootstrap_interval
from recloop.settings import PROJECT_DIR, Settings, load_settings
from recloop.sources import FORMS
from training.data.dataset import Ints, TrainingSet
from training.judging.spans import read_sets
from training.reports import check_writable
from training.retrieval.collaborative import train_collaborative
from training.retrieval.content import (
    Content,
    Targets,
    count_users,
    first_likes,
    make_targets,
    target_places,
    train_content,
    user_vectors,
)
from training.retrieval.sequence import train_sequence

RESULTS = PROJECT_DIR / "benchmarks" / "results" / "cold-items-kuairand.json"
LOG = logging.getLogger(__name__)
K, CUTS = 100, (20, 100)
FEW_USERS = 3
MOST_TARGETS = 2_000
UNTOUCHED, FEW, NATURAL, WARM = "untouched", "few", "untouched by nature", "warm"
WITHOUT, WITH, SHUFFLED = "without", "with", "shuffled"
SPACES = ("collaborative", "sequence")
Vectors = NDArray[np.float32]
Numbers = NDArray[np.float64]
Spaces = tuple[Vectors, Vectors]


@dataclass(frozen=True)
class Ranking:
    """How many items each target was ranked among, and by kind of vectors how many stand above it."""

    rivals: Ints
    places: dict[str, Numbers]


Rankings = Mapping[str, Ranking]
"""By model and by what the targets are ranked among."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cold_items", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", metavar="SOURCE", required=True, help=FORMS)
    parser.add_argument("--until", type=day_or_time, metavar="DATE", required=True, help="the last day to learn from")
    parser.add_argument("--from", dest="start", type=day_or_time, metavar="DATE", required=True, help="first to judge")
    parser.add_argument("--to", dest="end", type=day_or_time, metavar="DATE", required=True, help="last, whole")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="JSON file (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.1, help="of items, of either kind (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="most epochs of the transformer (default: RECLOOP_EPOCHS)")
    parser.add_argument("--seed", type=int, help="default: RECLOOP_SEED")
    args = parser.parse_args(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.out)
        report = measure(args, load_settings(epochs=args.epochs, seed=args.seed))
        args.out.write_text(json.dumps(report) + "\n", encoding="utf-8")
        report.pop("samples")
        print(json.dumps(report, indent=1))
        return 0

    return run(command)


def measure(args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Return the report that the arguments ask for."""
    started, seed = time.monotonic(), settings.seed
    whole, later = read_sets(args.data, until=args.until, start=args.start, end=args.end, settings=settings)
    held = hold_out(whole, share=args.share, seed=seed)
    learned, judged = (without(each, held, whole.split.stack_ms) for each in (whole, later))
    LOG.info("the sets took %.0f s", time.monotonic() - started)
    collaborative = train_collaborative(learned, seed=seed)
    sequence = train_sequence(learned, epochs=settings.epochs, seed=seed, device=settings.device)
    before = Content(collaborative, sequence, count_users(learned), None)
    began = time.process_time()
    after = train_content(learned, collaborative, sequence, seed=seed)
    tower_seconds = round(time.process_time() - began, 2)
    groups = item_groups(before.counts, held)
    drawn = {name: draw_targets(later, judged, items, seed=seed) for name, items in groups.items()}
    kinds = groups | dict.fromkeys((UNTOUCHED, NATURAL), before.counts == 0)
    ranked = {name: rank(before, after, own, kinds[name], seed=seed) for name, own in drawn.items() if own.seen}
    figures = {name: compare(drawn[name], own, seed=seed) for name, own in ranked.items()}
    return {
        "command": (
            f"python -m benchmarks.cold_items --data {args.data.split(':')[0]}:DIR --until {args.until} "
            f"--from {args.start} --to {args.end} --out FILE.json --share {args.share} "
            f"--epochs {settings.epochs} --seed {seed}"
        ),
        "circumstances": circumstances(),
        "items": {name: int(items.sum()) for name, items in groups.items()},
        "evidence": after.evidence,
        "norms": norms(before, after, groups),
        "untouched_share_of_first_100": untouched_share(before, after, drawn[WARM], groups),
        "figures": figures,
        "seconds": round(time.monotonic() - started, 1),
        "tower_cpu_seconds": tower_seconds,
        "samples": {name: sample(drawn[name], own) for name, own in ranked.items()},
    }


def hold_out(training_set: TrainingSet, *, share: float, seed: int) -> dict[str, NDArray[np.bool_]]:
    """Draw two kinds of items to hold out, each a share of the catalogue.

    Each kind is drawn from the whole, as which items stay unknown has nothing to do here with what they are.
    """
    chance = np.random.default_rng(seed).random(len(training_set.items))
    return {UNTOUCHED: chance < share, FEW: (chance >= share) & (chance < 2 * share)}


def without(training_set: TrainingSet, held: Mapping[str, NDArray[np.bool_]], before_ms: int) -> TrainingSet:
    """Return the set less what was done with items held out before a moment, but for the last FEW_USERS of the few."""
    log = training_set.interactions
    users = np.repeat(np.arange(len(log.user_ids)), np.diff(log.starts))
    early = log.times_ms < before_ms
    left_out = early & (held[UNTOUCHED] | held[FEW])[log.items]
    for item in np.flatnonzero(held[FEW]):
        rows = np.flatnonzero(early & (log.items == item))
        newest = rows[np.argsort(-log.times_ms[rows], kind="stable")]
        kept = list(dict.fromkeys(users[newest].tolist()))[:FEW_USERS]
        left_out[rows[np.isin(users[rows], kept)]] = False
    kept_rows = ~left_out
    sizes = np.bincount(users[kept_rows], minlength=len(log.user_ids))
    parts = {name: getattr(log, name)[kept_rows] for name in ("items", "actions", "times_ms", "dwell_ms")}
    return replace(training_set, interactions=replace(log, starts=np.r_[0, np.cumsum(sizes)], **parts))


def item_groups(counts: Ints, held: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """Return which items are of which group; one held out that nobody touched anyway is untouched."""
    either = held[UNTOUCHED] | held[FEW]
    return {
        UNTOUCHED: held[UNTOUCHED],
        FEW: held[FEW] & (counts > 0),
        NATURAL: ~held[UNTOUCHED] & (counts == 0),
        WARM: ~either & (counts > 0),
    }


def draw_targets(later: TrainingSet, judged: TrainingSet, items: NDArray[np.bool_], *, seed: int) -> Targets:
    """Draw items of a group that users liked when first meeting them; their histories are those of `judged`."""
    log = later.interactions
    rows = first_likes(later, start_ms=later.split.holdout_ms, end_ms=later.split.end_ms)
    rows = np.sort(np.random.default_rng(seed).permutation(rows[items[log.items[rows]]])[:MOST_TARGETS])
    owners = np.searchsorted(log.starts, rows, side="right") - 1
    return make_targets(judged, [log.user_ids[user] for user in owners], log.items[rows], log.times_ms[rows])


def rank(before: Content, after: Content, targets: Targets, kind: NDArray[np.bool_], *, seed: int) -> Rankings:
    """Rank the targets by either model among all items, and among the items of their own kind.

    The second shows whether the order within the kind is right, whatever the height at which it stands.
    """
    cold = np.flatnonzero(before.counts == 0)
    dealt = np.arange(len(before.counts))
    dealt[cold] = np.random.default_rng(seed).permutation(cold)
    sides = {WITHOUT: before, WITH: after} | ({} if before.counts[targets.items].any() else {SHUFFLED: after})
    others = np.flatnonzero(~kind)
    pools = {"all": targets, "own kind": replace(targets, seen=[np.union1d(own, others) for own in targets.seen])}
    rivals = {pool: np.array([len(kind) - len(own) - 1 for own in ranked.seen]) for pool, ranked in pools.items()}
    found = {f"{space}, among {pool}": Ranking(rivals[pool], {}) for pool in pools for space in SPACES}
    for name, content in sides.items():
        users = user_vectors(content.collaborative, content.sequence, targets)
        for space, theirs, own in zip(SPACES, users, item_vectors(content), strict=True):
            vectors = own[dealt] if name == SHUFFLED else own
            for pool, ranked in pools.items():
                found[f"{space}, among {pool}"].places[name] = target_places(theirs, vectors, ranked)
    return found


def item_vectors(content: Content) -> Spaces:
    """Return the vectors that are scored with, of either model."""
    return content.collaborative.factors, content.sequence.item_vectors()


def compare(targets: Targets, found: Rankings, *, seed: int) -> dict[str, Any]:
    """Return each metric of each kind of vectors, and the paired differences of the tower from the others."""
    report: dict[str, Any] = {"targets": len(targets.items), "items": len(np.unique(targets.items))}
    for name, ranking in found.items():
        places = ranking.places.items()
        metrics = {f"recall_at_{k}": {side: (own < k).astype(np.float64) for side, own in places} for k in CUTS}
        metrics["percentile"] = {side: 1 - own / np.maximum(ranking.rivals, 1) for side, own in places}
        report[name] = {metric: intervals(targets, values, seed=seed) for metric, values in metrics.items()}
    return report


def intervals(targets: Targets, values: Mapping[str, Numbers], *, seed: int) -> dict[str, Any]:
    """Return means with their 95 % intervals over users, and differences with those over users and over items."""
    groups = {
        "over_users": [user.user_id for user, _ in targets.requests],
        "over_items": [str(item) for item in targets.items],
    }
    report: dict[str, Any] = {side: interval(own, groups["over_users"], seed) for side, own in values.items()}
    for other in values.keys() - {WITH}:
        difference = values[WITH] - values[other]
        report[f"{WITH} less {other}"] = {name: interval(difference, own, seed) for name, own in groups.items()}
    return report


def interval(values: Numbers, groups: Sequence[str], seed: int) -> dict[str, float]:
    """Return a mean and the bounds of its interval, rounded."""
    found = asdict(bootstrap_interval(values, groups=groups, seed=seed))
    return {name: round(value, 5) for name, value in found.items()}


def norms(before: Content, after: Content, groups: Mapping[str, NDArray[np.bool_]]) -> dict[str, Any]:
    """Return the median length of each group's vectors, without and with the tower."""
    return {
        name: {
            space: [round(float(np.median(np.linalg.norm(own[items], axis=1))), 4) for own in pair]
            for space, pair in zip(SPACES, zip(item_vectors(before), item_vectors(after), strict=True), strict=True)
        }
        for name, items in groups.items()
        if items.any()
    }


def untouched_share(
    before: Content, after: Content, targets: Targets, groups: Mapping[str, NDArray[np.bool_]]
) -> dict[str, Any]:
    """Return the share of untouched items in the catalogue, and among each request's first 100 without and with."""
    cold = groups[UNTOUCHED] | groups[NATURAL]
    report: dict[str, Any] = {"catalogue": round(float(cold.mean()), 4)}
    for name, content in ((WITHOUT, before), (WITH, after)):
        users = user_vectors(content.collaborative, content.sequence, targets)
        for space, theirs, own in zip(SPACES, users, item_vectors(content), strict=True):
            scores = theirs @ own.T
            for row, seen in enumerate(targets.seen):
                scores[row, seen] = -np.inf
            best = np.argpartition(-scores, min(K, len(cold)) - 1, axis=1)[:, :K]
            report[f"{space}, {name}"] = round(float(cold[best].mean()), 4)
    return report


def sample(targets: Targets, found: Rankings) -> dict[str, Any]:
    """Return the raw places, with users and items as numbers that mean nothing else."""
    users = np.unique([user.user_id for user, _ in targets.requests], return_inverse=True)[1]
    items = np.unique(targets.items, return_inverse=True)[1]
    # Half a place, where items tie, is cut off.
    places = {
        name: {side: own.astype(int).tolist() for side, own in ranking.places.items()}
        for name, ranking in found.items()
    }
    return {"users": users.tolist(), "items": items.tolist(), "places": places}


if __name__ == "__main__":
    sys.exit(main())
