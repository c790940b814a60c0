"""Compare scores of the same rows: each with its intervals, and by how much one is ahead of another, paired by user.

In: rows and the scores of one or more runs, as of several seeds. Out: numbers of a report, and a verdict over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recloop.head_metrics import (
    auc,
    auc_difference_interval,
    auc_interval,
    gauc_difference_interval,
    gauc_interval,
    grouped_auc,
)
from recloop.labels import Head
from recloop.metrics import FEW_RESAMPLES, Interval
from training.judging.baselines import Numbers
from training.stacking.rows import Rows

METRICS: Mapping[str, tuple[Callable[..., Interval], Callable[..., Interval]]] = {
    "auc": (auc_interval, auc_difference_interval),
    "gauc": (gauc_interval, gauc_difference_interval),
}
VERDICT_HEADS = (Head.CLICK, Head.LIKE)
"""A part's verdict is by these; the report has all heads."""

Runs = Mapping[Head, Sequence[Numbers]]
"""Per head the judged rows' scores, of each seed."""


def judge(
    rows: Rows, head: Head, runs: Sequence[Numbers], full_runs: Sequence[Numbers] | None, *, seed: int
) -> dict[str, Any]:
    """Return AUC and GAUC of the scores averaged over their runs, with intervals, and by how much the full stack leads.

    What is not defined, as an AUC of one class, is None.
    """
    labels, users = rows.labels[head], rows.user_ids
    mean, sampled = np.mean(runs, axis=0), {"seed": seed, "n_resamples": FEW_RESAMPLES}
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


def verdict(heads: Mapping[str, Mapping[str, Any]], *, added: bool = False) -> dict[str, Any]:
    """Say whether a part helps, by the intervals of what the full stack gains over this one, which lacks the part.

    `added`: this one has the part and the full stack lacks it. `mixed`: one number is better with the part and another
    worse.
    """
    better, worse = [], []
    for head in VERDICT_HEADS:
        for name, lead in heads.get(head, {}).get("full_less_this", {}).items():
            low, high = lead["interval"] or (0.0, 0.0)
            low, high = (-high, -low) if added else (low, high)
            if low > 0:
                better.append(f"{head} {name}")
            if high < 0:
                worse.append(f"{head} {name}")
    says = "mixed" if better and worse else "helps" if better else "switch off" if worse else "not told apart"
    return {"says": says, "better_with_it": better, "worse_with_it": worse}
