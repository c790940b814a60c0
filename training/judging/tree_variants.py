"""The trees without some of their columns: what each part of the ranking matrix is worth and costs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recloop.labels import Head
from training.judging.baselines import Material, Numbers
from training.stacking.rows import Rows
from training.stacking.stack import Stack, refit, train_stack

LOG = logging.getLogger(__name__)
STATISTICS = ("exposures_by_", "interactions_by_")
FULL = "full"
VARIANTS: Mapping[str, Callable[[str], bool]] = {
    FULL: lambda name: False,
    "no collaborative": lambda name: name == "cf_score",
    "no sequence": lambda name: name == "sequence_score",
    "no base models": lambda name: name in {"cf_score", "sequence_score"},
    "no statistics": lambda name: name.startswith(STATISTICS),
    "no statistics of users": lambda name: name.startswith(tuple(f"{prefix}user" for prefix in STATISTICS)),
    "no attributes": lambda name: name.startswith("attribute_"),
    "no taste": lambda name: name in {"category_affinity", "category_recent", "author_recent"},
}
"""Which columns each variant leaves out."""


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
