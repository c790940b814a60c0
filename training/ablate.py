"""Measure what each part of the ranking stack is worth and costs: it is trained again without the part.

In: a data source, a last day to learn from and days to judge on; or a training set, whose holdout judges.
Out: a JSON report of the full stack, of one variant per part left out (a "leave one component out" ablation, after
Meyes et al. 2019) and of simple baselines, all on the same rows; optionally the same as Markdown tables.
Run: python -m training.ablate --data SOURCE:DIR --until DATE --from DATE --to DATE --report FILE.json
     python -m training.ablate --training-set DIR --report FILE.json [--seeds N] [--epochs N] [--markdown FILE.md]

Intervals are paired bootstraps over users of scores that are averaged over the seeds. They hold what other users would
change, not what other seeds would: beside them stands each seed's own difference. Each part has four chances to be told
apart, so of ten useless parts one or two look as if they were not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recloop import cli
from recloop.clock import format_time, from_ms
from recloop.errors import ConfigurationError, TrainingError
from recloop.head_metrics import (
    auc,
    auc_difference_interval,
    auc_interval,
    gauc_difference_interval,
    gauc_interval,
    grouped_auc,
)
from recloop.labels import Head
from recloop.metrics import Interval
from recloop.settings import Settings, load_settings
from recloop.sources import FORMS, open_source
from recloop.sources.base import moment
from recloop.statistics import BASE_STATISTICS
from training.bundle import code_commit, ranking_features
from training.costs import Stopwatch, peak_memory_mb
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.judging.baselines import BASELINES, Material, Numbers
from training.judging.heads import judged_rows
from training.source.build import build_source_set
from training.stacking.gather import stack_rows
from training.stacking.row_statistics import RowStatistics
from training.stacking.rows import Rows, example_rows, with_extras
from training.stacking.stack import Stack, refit, train_stack
from training.train import train_base

LOG = logging.getLogger(__name__)
N_RESAMPLES = 300
METRICS: Mapping[str, tuple[Callable[..., Interval], Callable[..., Interval]]] = {
    "auc": (auc_interval, auc_difference_interval),
    "gauc": (gauc_interval, gauc_difference_interval),
}
JUDGING_HEADS = (Head.CLICK, Head.LIKE)
"""A part's verdict is by these; the report has all heads."""

STATISTICS = ("exposures_by_", "interactions_by_")
_BASE = {f"{spec.name}_{what}" for spec in BASE_STATISTICS for what in ("count", *Head)}
FULL = "full"
Runs = Mapping[Head, Sequence[Numbers]]
"""Per head the judged rows' scores, of each seed."""

VARIANTS: Mapping[str, Callable[[str], bool]] = {
    FULL: lambda name: False,
    "no collaborative": lambda name: name == "cf_score",
    "no sequence": lambda name: name == "sequence_score",
    "no base models": lambda name: name in {"cf_score", "sequence_score"},
    "no statistics": lambda name: name.startswith(STATISTICS),
    "no statistics of users": lambda name: name.startswith(tuple(f"{prefix}user" for prefix in STATISTICS)),
    "no crosses with attributes": lambda name: name.startswith(STATISTICS) and name not in _BASE,
    "no attributes": lambda name: name.startswith("attribute_"),
    "no taste": lambda name: name in {"category_affinity", "category_recent", "author_recent"},
}
"""Which columns each variant leaves out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the report."""
    args = _parse(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        for file in (args.report, args.markdown):
            if file is not None and not file.parent.is_dir():
                raise ConfigurationError(f"{file} cannot be written: {file.parent} is no folder. Make it first.")
        given = {name: getattr(args, name) for name in ("epochs", "device", "seed") if getattr(args, name) is not None}
        report = run(args, Settings.model_validate(load_settings().model_dump() | given))
        args.report.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if args.markdown is not None:
            args.markdown.write_text(markdown(report), encoding="utf-8")
        verdicts = {name: found["verdict"]["says"] for name, found in report["variants"].items()}
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
    parser.add_argument("--epochs", type=int, help="most epochs of the transformer (default: RECLOOP_EPOCHS)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: RECLOOP_DEVICE")
    parser.add_argument("--seed", type=int, help="the first seed (default: RECLOOP_SEED)")
    args = parser.parse_args(argv)
    if any((args.data is None) != (given is None) for given in (args.until, args.start, args.end)):
        parser.error("--data, --until, --from and --to go together")
    args.variant_seeds = args.seeds if args.variant_seeds is None else args.variant_seeds
    if not 1 <= args.variant_seeds <= args.seeds:
        parser.error("--seeds is 1 or more, and --variant-seeds no more than it")
    return args


def run(args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Return the report that the arguments ask for."""
    started = time.monotonic()
    if args.data is None:
        training_set = read_training_set(args.training_set)
        end_ms = training_set.split.holdout_ms
        material = describe(training_set, training_set, end_ms=end_ms, settings=settings)
    else:
        material = _of_source(args, settings)
    seeds = range(settings.seed, settings.seed + args.seeds)
    data = {"source": args.data or str(args.training_set), **_facts(material), "epochs": settings.epochs}
    LOG.info("the rows took %.0f s: %s", time.monotonic() - started, data)
    found = compare(material, seeds=seeds, variant_seeds=args.variant_seeds)
    return found | {
        "data": data | {"seeds": list(seeds), "variant_seeds": args.variant_seeds, "code_commit": code_commit()},
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
    }


def _of_source(args: argparse.Namespace, settings: Settings) -> Material:
    source = open_source(args.data, downloads=settings.var_dir / "data")
    until = moment(source, args.until, ends=True)
    first, last = moment(source, args.start), moment(source, args.end, ends=True)
    if not until <= first < last:
        raise TrainingError(
            f"what is learned from ends at {format_time(until)}, what judges begins at {format_time(first)} and ends "
            f"at {format_time(last)}; expected them in this order."
        )
    window = timedelta(hours=settings.attribution_window_hours)
    with TemporaryDirectory(prefix="training-set-") as folder:
        # Two sets, so that nothing learned from can have looked past its end.
        learned, judged = Path(folder) / "learned", Path(folder) / "judged"
        build_source_set(source, learned, until=until, window=window, seed=settings.seed)
        build_source_set(
            source, judged, until=last, examples_from=first, with_negatives=False, window=window, seed=settings.seed
        )
        training_set, later = read_training_set(learned), read_training_set(judged)
    return describe(training_set, later, end_ms=training_set.split.end_ms, settings=settings)


def describe(training_set: TrainingSet, later: TrainingSet, *, end_ms: int, settings: Settings) -> Material:
    """Train the base models and describe the rows to learn from, before `end_ms`, and the holdout of the later set."""
    base = train_base(training_set, settings, Stopwatch())
    extras, learned = stack_rows(training_set, base, end_ms=end_ms, seed=settings.seed)
    retriever = base.retriever(training_set, np.empty(0, dtype=np.int64))
    places, _ = judged_rows(later, later.split.holdout_ms, later.split.end_ms)
    judged = example_rows(later, retriever, extras.vocabularies, places)
    judged = with_extras(later, RowStatistics(later), judged, extras)
    return Material(ranking_features(extras), learned, judged, later, extras)


def _facts(material: Material) -> dict[str, Any]:
    times = material.judged.times_ms
    return {
        "learned_until": format_time(from_ms(material.learned_until_ms)),
        "rows_learned": len(material.learned),
        "judged_first": format_time(from_ms(int(times.min()))),
        "judged_last": format_time(from_ms(int(times.max()))),
        "rows_judged": len(material.judged),
        "users_judged": len(set(material.judged.user_ids)),
        "positives_judged": {str(head): int(labels.sum()) for head, labels in material.judged.labels.items()},
    }


def compare(material: Material, *, seeds: Sequence[int], variant_seeds: int) -> dict[str, Any]:
    """Return what the full stack, its variants and the baselines are worth on the judged rows.

    A variant of fewer seeds than the full stack is compared with as many of that: an average of more is better by that
    alone. One that leaves out no column, as without attributes in the data, is not there.
    """
    judged, seed = material.judged, seeds[0]
    full, costs = grow(material, kept_columns(material.names, FULL), seeds)
    found: dict[str, Any] = {FULL: _part(judged, full, None, costs, seed), "variants": {}, "baselines": {}}
    LOG.info("%s: %s", FULL, costs)
    for name in VARIANTS:
        kept = kept_columns(material.names, name)
        if len(kept) == len(material.names):
            continue
        runs, costs = grow(material, kept, seeds[:variant_seeds])
        part = _part(judged, runs, {head: own[:variant_seeds] for head, own in full.items()}, costs, seed)
        found["variants"][name] = part | {"verdict": verdict(part["heads"])}
        LOG.info("%s: %s %s", name, costs, found["variants"][name]["verdict"])
    for name, baseline in BASELINES.items():
        started = time.process_time()
        alone = {head: [scores] for head, scores in baseline(material, list(full)).items()}
        costs = {"cpu_seconds": round(time.process_time() - started, 2)}
        found["baselines"][name] = _part(judged, alone, full, costs, seed)
        LOG.info("%s: %s", name, costs)
    return found


def _part(judged: Rows, runs: Runs, full: Runs | None, costs: Mapping[str, Any], seed: int) -> dict[str, Any]:
    heads = {str(head): judge(judged, head, own, full[head] if full else None, seed=seed) for head, own in runs.items()}
    return {"heads": heads, "costs": costs}


def kept_columns(names: Sequence[str], variant: str) -> list[int]:
    """Return the places of the columns that a variant keeps.

    >>> kept_columns(["hour", "cf_score", "sequence_score"], "no collaborative")
    [0, 2]
    """
    return [place for place, name in enumerate(names) if not VARIANTS[variant](name)]


def grow(
    material: Material, columns: Sequence[int], seeds: Sequence[int]
) -> tuple[dict[Head, list[Numbers]], dict[str, Any]]:
    """Return per head the judged rows' scores of each seed, and what the first seed's training and scoring cost.

    Size and number of the trees are chosen by the first seed; the others grow theirs by the same plan.
    """
    names = [material.names[place] for place in columns]
    learned, judged = (_narrowed(rows, columns) for rows in (material.learned, material.judged))
    started = time.process_time()
    first = train_stack(learned, names=names, seed=seeds[0])
    trained, boosters = time.process_time(), _boosters(first)
    loaded = time.process_time()
    scores = {head: [found] for head, found in _predict(boosters, judged).items()}
    costs = {
        "columns": len(names),
        "training_cpu_seconds": round(trained - started, 1),
        "tree_bytes": sum(len(text.encode()) for text in first.texts.values()),
        "scoring_ms_per_1000_rows": round(1e6 * (time.process_time() - loaded) / len(judged), 3),
    }
    for seed in seeds[1:]:
        again = _boosters(refit(first, learned, names=names, seed=seed))
        for head, found in _predict(again, judged).items():
            scores[head].append(found)
    return scores, costs


def _narrowed(rows: Rows, columns: Sequence[int]) -> Rows:
    return replace(rows, matrix=np.ascontiguousarray(rows.matrix[:, columns]))


def _boosters(stack: Stack) -> dict[Head, Any]:
    import lightgbm

    return {head: lightgbm.Booster(model_str=text) for head, text in stack.texts.items()}


def _predict(boosters: Mapping[Head, Any], rows: Rows) -> dict[Head, Numbers]:
    """Return raw outputs, whose order calibration would keep; on one thread, so that times can be compared."""
    return {
        head: np.asarray(booster.predict(rows.matrix, num_threads=1), dtype=np.float64)
        for head, booster in boosters.items()
    }


def judge(
    rows: Rows, head: Head, runs: Sequence[Numbers], full_runs: Sequence[Numbers] | None, *, seed: int
) -> dict[str, Any]:
    """Return AUC and GAUC of the scores averaged over their runs, with intervals, and by how much the full stack leads.

    What is not defined, as an AUC of one class, is None.
    """
    labels, users = rows.labels[head], rows.user_ids
    mean, sampled = np.mean(runs, axis=0), {"seed": seed, "n_resamples": N_RESAMPLES}
    found: dict[str, Any] = {"positives": int(labels.sum())}
    leads: dict[str, Any] = {}
    for name, (interval, difference_interval) in METRICS.items():
        own = [_metric(name, labels, scores, users) for scores in runs]
        found[name] = _interval(interval(labels, mean, users, **sampled))
        found[name] |= {"per_seed": list(map(_defined, own)), "spread": _defined(max(own) - min(own))}
        if full_runs is None:
            continue
        theirs = [_metric(name, labels, scores, users) for scores in full_runs]
        leads[name] = _interval(difference_interval(labels, np.mean(full_runs, axis=0), mean, users, **sampled))
        # A baseline has no seeds: it has one run beside the full stack's several.
        if len(own) == len(theirs):
            leads[name]["per_seed"] = [_defined(whole - part) for whole, part in zip(theirs, own, strict=True)]
    return found | ({"full_less_this": leads} if leads else {})


def _metric(name: str, labels: Any, scores: Numbers, users: Any) -> float:
    return auc(labels, scores) if name == "auc" else grouped_auc(labels, scores, users)


def _interval(found: Interval) -> dict[str, Any]:
    return {"value": _defined(found.mean), "interval": None if np.isnan(found.low) else [found.low, found.high]}


def _defined(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def verdict(heads: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Say whether a part helps, by the intervals of what the full stack gains over the one without it.

    `mixed`: one number is better with the part and another worse.
    """
    better, worse = [], []
    for head in JUDGING_HEADS:
        for name, lead in heads.get(head, {}).get("full_less_this", {}).items():
            low, high = lead["interval"] or (0.0, 0.0)
            if low > 0:
                better.append(f"{head} {name}")
            if high < 0:
                worse.append(f"{head} {name}")
    says = "mixed" if better and worse else "helps" if better else "switch off" if worse else "not told apart"
    return {"says": says, "better_with_it": better, "worse_with_it": worse}


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as two tables: what is left out, and baselines; in brackets what the full stack has more."""
    shown = [(head, name) for head in JUDGING_HEADS if head in report[FULL]["heads"] for name in METRICS]
    titles = [f"{head} {name.upper()}" for head, name in shown]
    costs = ["columns", "training, CPU s", "trees, KB", "scoring, ms per 1,000 rows"]
    data = report["data"]
    lines = [
        f"{data['source']}: learned until {data['learned_until']} ({data['rows_learned']} rows), judged on "
        f"{data['rows_judged']} rows of {data['users_judged']} users from {data['judged_first']} to "
        f"{data['judged_last']}. Seeds: {len(data['seeds'])} of the full stack, {data['variant_seeds']} of a variant. "
        "After each number: full, of as many seeds, less this [95 % interval].",
        "",
        *_heading(["left out", *titles, "the part", *costs]),
    ]
    for name, found in {FULL: report[FULL], **report["variants"]}.items():
        cells = [_cell(found["heads"][head], metric) for head, metric in shown]
        says = found["verdict"]["says"] if "verdict" in found else ""
        spent = found["costs"]
        size = [spent["columns"], spent["training_cpu_seconds"], round(spent["tree_bytes"] / 1_000)]
        lines.append(_line([name, *cells, says, *size, spent["scoring_ms_per_1000_rows"]]))
    lines += ["", *_heading(["baseline", *titles, "CPU s"])]
    for name, found in report["baselines"].items():
        cells = [_cell(found["heads"][head], metric) for head, metric in shown]
        lines.append(_line([name, *cells, found["costs"]["cpu_seconds"]]))
    return "\n".join(lines) + "\n"


def _heading(titles: Sequence[str]) -> list[str]:
    return [_line(titles), _line(["---"] * len(titles))]


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _cell(head: Mapping[str, Any], metric: str) -> str:
    own, lead = head[metric], head.get("full_less_this", {}).get(metric, head[metric])
    if own["value"] is None:
        return "–"
    low, high = lead["interval"]
    if lead is own:
        return f"{own['value']:.4f} [{low:.4f}, {high:.4f}], seeds within {own['spread']:.4f}"
    return f"{own['value']:.4f} ({lead['value']:+.4f} [{low:+.4f}, {high:+.4f}])"


if __name__ == "__main__":
    sys.exit(main())
