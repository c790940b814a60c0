"""Measure what a ranker loses when it reads fewer of a user's last actions, and whether it matters which.

In: a data source, a last day to learn from and days to judge on. One ranker learns from whole histories of what was
shown, as the loop's do, and scores the later rows with histories cut to a budget: to the newest actions, or to those
that `training.ranker.budget` keeps by the kinds' correlation with a click or with a like.
Out: AUC and GAUC of clicks and likes with paired intervals over users, against whole histories and against the newest
actions, the time to choose and to encode, and the bytes of a history, as JSON. The ranker never learned from histories
that were cut; one that did might lose less.
Run: python -m benchmarks.action_budget --data SOURCE:DIR --until DATE --from DATE --to DATE --out FILE.json
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.circumstances import circumstances
from recloop.cli import day_or_time, run
from recloop.histories import Histories
from recloop.labels import Head
from recloop.metrics import FEW_RESAMPLES
from recloop.ranker import BATCH_ROWS, RankerInputs
from recloop.sequences import ACTION_CODES, MAX_ACTIONS
from recloop.settings import Settings, load_settings
from recloop.sources import FORMS
from training.ablate import describe
from training.judging.baselines import Material
from training.judging.compare import METRICS, VERDICT_HEADS
from training.judging.spans import read_sets
from training.ranker.budget import Priorities, keep, learn_priorities, newest
from training.ranker.rows import ItemTable, RankerRows, RankerShape
from training.ranker.scoring import predict_ranker
from training.ranker.trainer import train_ranker
from training.reports import check_writable, write_report
from training.stacking.ranker_rows import item_table, ranker_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.ranker.model import RankerModel

LOG = logging.getLogger(__name__)
BUDGETS = (10, 25, 50)
WHOLE, NEWEST, NONE = "whole", "newest", "none"
N_TIMED, N_REPEATS = 1_000, 7

Rule = Callable[[Histories, int], Histories]
Choose = Callable[[Histories], Histories]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.action_budget", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="SOURCE", help=FORMS)
    parser.add_argument("--until", type=day_or_time, required=True, metavar="DATE", help="the last day to learn from")
    parser.add_argument("--from", dest="start", type=day_or_time, required=True, metavar="DATE", help="first to judge")
    parser.add_argument("--to", dest="end", type=day_or_time, required=True, metavar="DATE", help="last, whole")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--seed", type=int, help="default: RECLOOP_SEED")
    args = parser.parse_args(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.out)
        started, settings = time.monotonic(), load_settings(seed=args.seed)
        training_set, later = read_sets(args.data, until=args.until, start=args.start, end=args.end, settings=settings)
        material = describe(training_set, later, end_ms=training_set.split.end_ms, settings=settings)
        found = measure(*ranker_parts(material), material.judged.user_ids, settings)
        facts = {
            "command": (
                f"python -m benchmarks.action_budget --data {args.data.split(':')[0]}:DIR --until {args.until} "
                f"--from {args.start} --to {args.end} --out FILE.json --seed {settings.seed}"
            ),
            "circumstances": circumstances(),
            "seconds": round(time.monotonic() - started, 1),
        }
        write_report(args.out, facts | found)
        return 0

    return run(command)


def ranker_parts(material: Material) -> tuple[RankerRows, RankerRows, ItemTable]:
    """Return the shown rows to learn from, all where none was shown, the rows to judge on, and the catalogue."""
    inputs = RankerInputs(material.names, material.extras.vocabularies)
    shown = np.flatnonzero(material.learned.shown)
    learned = material.learned.take(shown) if len(shown) else material.learned
    items = item_table(material.catalogue, material.vectors)
    return ranker_rows(learned, inputs), ranker_rows(material.judged_here, inputs), items


def measure(
    learned: RankerRows, judged: RankerRows, items: ItemTable, users: NDArray[np.object_], settings: Settings
) -> dict[str, Any]:
    """Train one ranker and return the report; `users` are those of the judged rows."""
    seed = settings.seed
    result = train_ranker(
        learned, None, RankerShape(), items=items, epochs=settings.ranker_epochs, seed=seed, device=settings.device
    )
    return compare(result.model, learned, judged, items, users, seed=seed)


def compare(
    model: RankerModel,
    learned: RankerRows,
    judged: RankerRows,
    items: ItemTable,
    users: NDArray[np.object_],
    *,
    seed: int,
) -> dict[str, Any]:
    """Return what the ranker makes of the judged rows by each rule and budget."""
    priorities = {head: learn_priorities(learned, items, head) for head in VERDICT_HEADS}
    rules: dict[str, Rule] = {NEWEST: newest}
    rules |= {f"by {head}": partial(keep, priorities=own) for head, own in priorities.items()}
    whole = predict_ranker(model, judged)
    report: dict[str, Any] = {
        "rows": {"learned": len(learned), "judged": len(judged), "users_judged": len(set(users.tolist()))},
        "history_lengths_judged": lengths(judged),
        "correlations": {head: spelled(own) for head, own in priorities.items()},
        WHOLE: figures(judged, users, whole, {}, seed) | costs(model, judged, at(newest, MAX_ACTIONS), seed),
        NONE: figures(judged, users, predict_ranker(model, cut(judged, without_actions)), {WHOLE: whole}, seed),
    }
    for budget in BUDGETS:
        found, beside = report.setdefault(str(budget), {}), {WHOLE: whole}
        for name, rule in rules.items():
            chances = predict_ranker(model, cut(judged, at(rule, budget)))
            found[name] = figures(judged, users, chances, beside, seed) | costs(model, judged, at(rule, budget), seed)
            beside.setdefault(NEWEST, chances)
            LOG.info("%d, %s: %s", budget, name, found[name])
    return report


def at(rule: Rule, budget: int) -> Choose:
    """Return the rule at one budget."""
    return lambda histories: rule(histories, budget)


def lengths(rows: RankerRows) -> dict[str, float]:
    """Return the mean length of the rows' histories, and the share of rows that each budget is too small for."""
    own = rows.histories.lengths[rows.request]
    return {"mean": round(float(own.mean()), 2)} | {f"over {n}": round(float((own > n).mean()), 4) for n in BUDGETS}


def spelled(priorities: Priorities) -> dict[str, float]:
    """Return the correlation of each action."""
    return {action: round(float(priorities.correlations[code]), 4) for action, code in ACTION_CODES.items()}


def without_actions(histories: Histories) -> Histories:
    """Return as many histories without an action."""
    return Histories(*(np.zeros_like(part[:, :1]) for part in histories.parts))


def cut(rows: RankerRows, choose: Choose) -> RankerRows:
    """Return the rows with chosen actions."""
    return replace(rows, histories=choose(rows.histories))


def figures(
    rows: RankerRows, users: NDArray[np.object_], chances: Any, beside: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Return each head's metrics, and by how much they are above those of other scores: value, low, high."""
    found: dict[str, Any] = {}
    for head in VERDICT_HEADS:
        place = list(Head).index(head)
        labels, own = rows.labels[:, place] > 0, chances[:, place]
        sampled = {"seed": seed, "n_resamples": FEW_RESAMPLES}
        found[head] = {"positives": int(labels.sum())}
        for name, (interval, difference_interval) in METRICS.items():
            found[head][name] = rounded(interval(labels, own, users, **sampled))
            for other, theirs in beside.items():
                difference = difference_interval(labels, own, theirs[:, place], users, **sampled)
                found[head][f"{name}_less_{other}"] = rounded(difference)
    return found


def rounded(interval: Any) -> list[float | None]:
    """Return value, low and high; None for what is not defined."""
    return [
        None if np.isnan(number) else round(float(number), 5) for number in (interval.mean, interval.low, interval.high)
    ]


def costs(model: RankerModel, rows: RankerRows, choose: Choose, seed: int) -> dict[str, Any]:
    """Return the milliseconds that choosing and encoding the histories of 1,000 requests take, and a history's bytes.

    Requests come in batches of BATCH_ROWS, each as wide as the rule leaves it; the time is the median of the samples.
    """
    import torch

    n = len(rows.histories)
    drawn = np.random.default_rng(seed).choice(n, min(N_TIMED, n), replace=False)
    whole = Histories(*(part[drawn] for part in rows.histories.parts))
    chosen = choose(whole)
    tensors = [torch.as_tensor(part, dtype=torch.int64, device=model.number_mean.device) for part in chosen.parts]

    def encode() -> None:
        with torch.inference_mode():
            for first in range(0, len(drawn), BATCH_ROWS):
                model.encode(*(part[first : first + BATCH_ROWS] for part in tensors))

    samples = {"choose": samples_ms(lambda: choose(whole)), "encode": samples_ms(encode)}
    scale = N_TIMED / len(drawn)
    medians = {f"{name}_ms": round(scale * float(np.median(own)), 2) for name, own in samples.items()}
    n_bytes = sum(part.nbytes for part in chosen.parts) // len(drawn)
    return {"costs_of_1000": medians | {"samples_ms": samples}, "history_bytes": n_bytes}


def samples_ms(work: Callable[[], object]) -> list[float]:
    """Return how long each of N_REPEATS runs took, after one that does not count."""
    work()
    samples = []
    for _ in range(N_REPEATS):
        began = time.perf_counter()
        work()
        samples.append(round(1_000 * (time.perf_counter() - began), 2))
    return samples


if __name__ == "__main__":
    sys.exit(main())
