"""Measure what each part of the ranking stack is worth and costs: it is trained again without the part.

In: a data source, a last day to learn from and days to judge on; or a training set, whose holdout judges.
Out: a JSON report of the full stack, of one variant per part left out (a "leave one component out" ablation, after
Meyes et al. 2019) and of simple baselines, all on the same rows; optionally the same as Markdown tables.
Run: python -m training.ablate --data SOURCE:DIR --until DATE --from DATE --to DATE --report FILE.json
     python -m training.ablate --training-set DIR --report FILE.json [--seeds N] [--epochs N] [--markdown FILE.md]

The ranker and its variants take most of the time; `--ranker-seeds 0` leaves them out. What a part's models say is kept
beside the report, in FILE.json.checkpoints, until the report is written: the same command goes on from there after it
was stopped. The report's seconds and memory are then those of the process that ended the run.

Intervals are paired bootstraps over users of scores that are averaged over the seeds. They hold what other users would
change, not what other seeds would: beside them stands each seed's own difference. Each part has four chances to be told
apart, so of ten useless parts one or two look as if they were not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recloop import cli
from recloop.clock import format_time, from_ms
from recloop.labels import Head
from recloop.settings import DEVICE_CHOICES, Settings, load_settings
from recloop.sources import FORMS
from training.bundle import code_commit, ranking_features
from training.checkpoint import checkpoints_of
from training.costs import Stopwatch, peak_memory_mb
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.judging.baselines import BASELINES, Baseline, Material
from training.judging.compare import Runs, judge, verdict
from training.judging.heads import judged_rows
from training.judging.kept_scores import KeptScores, Scored
from training.judging.ledger import markdown
from training.judging.ranker_variants import HYBRIDS, RANKER, RANKER_VARIANTS, score_hybrid, score_ranker
from training.judging.spans import read_sets
from training.judging.tree_variants import FULL, VARIANTS, grow, kept_columns
from training.reports import check_writable, write_report
from training.stacking.gather import stack_rows
from training.stacking.row_statistics import RowStatistics
from training.stacking.rows import Rows, example_rows, with_extras
from training.train import train_base

LOG = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the report."""
    args = _parse(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.report, args.markdown)
        checkpoints = checkpoints_of(args.report)
        report = run(args, load_settings(epochs=args.epochs, device=args.device, seed=args.seed), checkpoints)
        write_report(args.report, report)
        if args.markdown is not None:
            args.markdown.write_text(markdown(report), encoding="utf-8")
        shutil.rmtree(checkpoints, ignore_errors=True)
        parts = report["variants"] | report.get("hybrids", {}) | report.get("rankers", {})
        verdicts = {name: found["verdict"]["says"] for name, found in parts.items()}
        print(json.dumps({"verdicts": verdicts, "seconds": report["seconds"], "report": str(args.report)}))
        return 0

    return cli.run(command)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.ablate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--training-set", type=Path, metavar="DIR", help="folder whose holdout judges")
    data.add_argument("--data", metavar="SOURCE", help=FORMS)
    parser.add_argument("--until", type=cli.day_or_time, metavar="DATE", help="the last day to learn from")
    parser.add_argument("--from", dest="start", type=cli.day_or_time, metavar="DATE", help="first day to judge on")
    parser.add_argument("--to", dest="end", type=cli.day_or_time, metavar="DATE", help="last day to judge on, whole")
    parser.add_argument("--report", type=Path, required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables as Markdown")
    parser.add_argument("--seeds", type=int, default=3, help="how often trees are grown (default: %(default)s)")
    parser.add_argument("--variant-seeds", type=int, metavar="N", help="so many of them for variants (default: all)")
    parser.add_argument(
        "--ranker-seeds", type=int, metavar="N",
        help="how often the ranker and its variants are trained (default: as often as trees; 0: not at all)",
    )  # fmt: skip
    parser.add_argument("--epochs", type=int, help="most epochs of the transformer (default: RECLOOP_EPOCHS)")
    parser.add_argument("--device", choices=DEVICE_CHOICES, help="default: RECLOOP_DEVICE")
    parser.add_argument("--seed", type=int, help="the first seed (default: RECLOOP_SEED)")
    args = parser.parse_args(argv)
    if any((args.data is None) != (given is None) for given in (args.until, args.start, args.end)):
        parser.error("--data, --until, --from and --to go together")
    args.variant_seeds = args.seeds if args.variant_seeds is None else args.variant_seeds
    args.ranker_seeds = args.seeds if args.ranker_seeds is None else args.ranker_seeds
    if not 1 <= args.variant_seeds <= args.seeds:
        parser.error("--seeds is 1 or more, and --variant-seeds no more than it")
    return args


def run(args: argparse.Namespace, settings: Settings, checkpoints: Path) -> dict[str, Any]:
    """Return the report that the arguments ask for; parts that `checkpoints` has of this very run are not done anew."""
    started = time.monotonic()
    if args.data is None:
        training_set = read_training_set(args.training_set)
        end_ms = training_set.split.holdout_ms
        material = describe(training_set, training_set, end_ms=end_ms, settings=settings)
    else:
        training_set, later = read_sets(args.data, until=args.until, start=args.start, end=args.end, settings=settings)
        material = describe(training_set, later, end_ms=training_set.split.end_ms, settings=settings)
    seeds = range(settings.seed, settings.seed + args.seeds)
    data = {"source": _source(args), **_facts(material), "epochs": settings.epochs}
    LOG.info("the rows took %.0f s: %s", time.monotonic() - started, data)
    of_run = (seeds, args.variant_seeds, args.ranker_seeds, settings.ranker_epochs, settings.device, code_commit())
    kept = KeptScores.of(checkpoints, material, of_run)
    found, full = compare(material, seeds=seeds, variant_seeds=args.variant_seeds, kept=kept)
    if args.ranker_seeds:
        found["hybrids"], found["rankers"] = compare_rankers(
            material,
            full,
            found[FULL]["costs"],
            kept,
            seeds=seeds[: args.ranker_seeds],
            epochs=settings.ranker_epochs,
            device=settings.device,
        )
    return found | {
        "data": data | {"seeds": list(seeds), "variant_seeds": args.variant_seeds, "code_commit": code_commit()},
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
    }


def describe(training_set: TrainingSet, later: TrainingSet, *, end_ms: int, settings: Settings) -> Material:
    """Train the base models and describe the rows to learn from, before `end_ms`, and the holdout of the later set."""
    base = train_base(training_set, settings, Stopwatch())
    extras, learned = stack_rows(training_set, base, end_ms=end_ms, seed=settings.seed)
    retriever = base.retriever(training_set, np.empty(0, dtype=np.int64))
    places, _ = judged_rows(later, later.split.holdout_ms, later.split.end_ms)
    judged = example_rows(later, retriever, extras.vocabularies, places)
    judged = with_extras(later, RowStatistics(later), judged, extras)
    return Material(ranking_features(extras), learned, judged, later, extras, training_set.items, base.item_vectors())


def _source(args: argparse.Namespace) -> str:
    """Return what was read, without the path that it has on this machine."""
    if args.data is None:
        return str(args.training_set.resolve().name)
    kind, colon, _ = str(args.data).partition(":")
    return f"{kind}:DIR" if colon else kind


def _facts(material: Material) -> dict[str, Any]:
    times = material.judged.times_ms
    return {
        "learned_until": format_time(from_ms(material.learned_until_ms)),
        "rows_learned": len(material.learned),
        # A lake's training set names none: what it left out stands in the lake's table of rejects.
        "left_out": material.history.snapshot.get("left_out"),
        "judged_first": format_time(from_ms(int(times.min()))),
        "judged_last": format_time(from_ms(int(times.max()))),
        "rows_judged": len(material.judged),
        "users_judged": len(set(material.judged.user_ids)),
        "positives_judged": {str(head): int(labels.sum()) for head, labels in material.judged.labels.items()},
    }


def compare(
    material: Material, *, seeds: Sequence[int], variant_seeds: int, kept: KeptScores
) -> tuple[dict[str, Any], Runs]:
    """Return what the full stack, its variants and the baselines are worth on the judged rows; and the full's scores.

    A variant of fewer seeds than the full stack is compared with as many of that: an average of more is better by that
    alone. One that leaves out no column, as without attributes in the data, is not there.
    """
    judged, seed = material.judged, seeds[0]
    full, costs = kept.scores(FULL, partial(grow, material, kept_columns(material.names, FULL), seeds))
    found: dict[str, Any] = {FULL: _part(judged, full, None, costs, seed), "variants": {}, "baselines": {}}
    LOG.info("%s: %s", FULL, costs)
    for name in VARIANTS:
        columns = kept_columns(material.names, name)
        if len(columns) == len(material.names):
            continue
        runs, costs = kept.scores(name, partial(grow, material, columns, seeds[:variant_seeds]))
        found["variants"][name] = _variant(judged, runs, full, costs, seed)
        LOG.info("%s: %s %s", name, costs, found["variants"][name]["verdict"])
    for name, baseline in BASELINES.items():
        alone, costs = kept.scores(name, partial(_alone, baseline, material, list(full)))
        found["baselines"][name] = _part(judged, alone, full, costs, seed)
        LOG.info("%s: %s", name, costs)
    return found, full


def _alone(baseline: Baseline, material: Material, heads: Sequence[Head]) -> Scored:
    started = time.process_time()
    runs = {head: [scores] for head, scores in baseline(material, heads).items()}
    return runs, {"cpu_seconds": round(time.process_time() - started, 2)}


def compare_rankers(
    material: Material,
    full: Runs,
    costs: Mapping[str, Any],
    kept: KeptScores,
    *,
    seeds: Sequence[int],
    epochs: int,
    device: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the trees with the ranker's forms beside the full stack, and the ranker's variants beside the ranker."""
    judged, seed = material.judged, seeds[0]
    runs: dict[str, Runs] = {}
    rankers: dict[str, Any] = {}
    for name, variant in RANKER_VARIANTS.items():
        score = partial(score_ranker, material, variant, seeds, epochs=epochs, device=device)
        runs[name], spent = kept.scores(name, score)
        rankers[name] = _variant(judged, runs[name], full if name == RANKER else runs[RANKER], spent, seed)
        LOG.info("%s: %s %s", name, spent, rankers[name]["verdict"])
    hybrids: dict[str, Any] = {}
    for name, of in HYBRIDS.items():
        both, spent = score_hybrid(full, runs[of], (costs, rankers[of]["costs"]))
        hybrids[name] = _variant(judged, both, full, spent, seed, added=True)
        LOG.info("%s: %s %s", name, spent, hybrids[name]["verdict"])
    return hybrids, rankers


def _variant(
    judged: Rows, runs: Runs, whole: Runs, costs: Mapping[str, Any], seed: int, *, added: bool = False
) -> dict[str, Any]:
    n = len(next(iter(runs.values())))
    beside = {head: own[:n] for head, own in whole.items()}
    part = _part(judged, {head: runs[head] for head in whole}, beside, costs, seed)
    return part | {"verdict": verdict(part["heads"], added=added)}


def _part(judged: Rows, runs: Runs, full: Runs | None, costs: Mapping[str, Any], seed: int) -> dict[str, Any]:
    heads = {str(head): judge(judged, head, own, full[head] if full else None, seed=seed) for head, own in runs.items()}
    return {"heads": heads, "costs": costs}


if __name__ == "__main__":
    sys.exit(main())
