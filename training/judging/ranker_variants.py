"""The ranker alone, without some of its parts; and the trees with what it says: what each is worth and costs.

In: the rows of an ablation. Out: per variant the judged rows' scores of each seed. Rankers learn from the rows that the
trees learn from, as the loop's do; their costs are CPU seconds of one training and bytes of its weights.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recloop.histories import Histories
from recloop.labels import HIDE_ACTIONS, Head
from recloop.ranker import RankerInputs, pool, to_logits
from recloop.sequences import ACTION_CODES
from training.judging.baselines import Material, Numbers
from training.judging.compare import Runs
from training.ranker.rows import Fusion, RankerRows, RankerShape
from training.ranker.scoring import predict_ranker
from training.ranker.trainer import RankerResult, train_ranker
from training.stacking.ranker_rows import item_table, ranker_rows

LOG = logging.getLogger(__name__)
RANKER, MEAN = "ranker alone", "ranker, mean of the sequence"
HYBRIDS: Mapping[str, str] = {"trees with the ranker": RANKER, "trees with the ranker's mean": MEAN}
"""What is served, by the variant of the ranker that stands beside the trees."""


@dataclass(frozen=True)
class RankerVariant:
    """How one variant differs from the whole ranker."""

    shape: RankerShape = field(default_factory=RankerShape)
    with_hides: bool = True
    most_seeds: int | None = None


RANKER_VARIANTS: Mapping[str, RankerVariant] = {
    RANKER: RankerVariant(),
    "ranker, no sequence": RankerVariant(RankerShape(use_sequence=False)),
    MEAN: RankerVariant(RankerShape(use_transformer=False)),
    "ranker, no crosses": RankerVariant(RankerShape(use_crosses=False)),
    "ranker, no time-window mask": RankerVariant(RankerShape(window_mask_hours=0)),
    "ranker, no hides in the history": RankerVariant(with_hides=False),
    # The transformer runs once per candidate: one seed takes as long as five of the others.
    "ranker, candidate on every row": RankerVariant(RankerShape(fusion=Fusion.CONCAT), most_seeds=1),
}


def score_ranker(
    material: Material, variant: RankerVariant, seeds: Sequence[int], *, epochs: int, device: str
) -> tuple[dict[Head, list[Numbers]], dict[str, Any]]:
    """Train the variant per seed; return per head the judged rows' scores, and what the first seed's training cost."""
    inputs = RankerInputs(material.names, material.extras.vocabularies)
    table = item_table(material.catalogue, material.vectors)
    learned, judged = (_rows(rows, inputs, variant) for rows in (material.learned, material.judged_here))
    scores: dict[Head, list[Numbers]] = {head: [] for head in Head}
    costs: dict[str, Any] = {}
    for seed in seeds[: variant.most_seeds]:
        started = time.process_time()
        result = train_ranker(learned, None, variant.shape, items=table, epochs=epochs, seed=seed, device=device)
        trained = time.process_time()
        chances = predict_ranker(result.model, judged)
        if not costs:
            costs = _costs(result, trained - started, time.process_time() - trained, len(judged))
        for place, head in enumerate(Head):
            scores[head].append(chances[:, place].astype(np.float64))
    return scores, costs


def score_hybrid(
    trees: Runs, ranker: Runs, costs: Sequence[Mapping[str, Any]]
) -> tuple[dict[Head, list[Numbers]], dict[str, Any]]:
    """Return what both say together, seed by seed, and what both cost."""
    scores = {
        head: [pool(own, to_logits(other)) for own, other in zip(runs, ranker[head], strict=False)]
        for head, runs in trees.items()
    }
    added = ("training_cpu_seconds", "tree_bytes", "weight_bytes", "scoring_ms_per_1000_rows")
    return scores, {name: round(sum(own.get(name, 0) for own in costs), 3) for name in added}


def _rows(rows: Any, inputs: RankerInputs, variant: RankerVariant) -> RankerRows:
    found = ranker_rows(rows, inputs)
    return found if variant.with_hides else replace(found, histories=without_hides(found.histories))


def without_hides(histories: Histories) -> Histories:
    """Return the histories without what users turned away from; the other actions close up to the right."""
    hides = np.isin(histories.actions, [ACTION_CODES[action] for action in HIDE_ACTIONS])  # type: ignore[index]
    kept = (histories.items > 0) & ~hides
    order = np.argsort(kept, axis=1, kind="stable")
    parts = (np.take_along_axis(np.where(kept, part, 0), order, axis=1) for part in histories.parts)
    return Histories(*parts)


def _costs(result: RankerResult, trained: float, scored: float, n_rows: int) -> dict[str, Any]:
    weights = sum(tensor.numel() * tensor.element_size() for tensor in result.model.state_dict().values())
    return {
        "training_cpu_seconds": round(trained, 1),
        "weight_bytes": weights,
        "scoring_ms_per_1000_rows": round(1e6 * scored / n_rows, 3),
    }
