"""Next-item prediction on a sequence file: train the loop's own transformer, rank the whole catalogue.

The protocol of SASRec (Kang and McAuley 2018), but with the full catalogue in place of sampled negatives: each user's
last training item is held back to choose the epoch; then the item held back by the test file is ranked among all items
the user has not had. Sequences have neither times nor actions: both embeddings stay at one row.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.checkpoint import run_identity
from training.costs import RunCosts
from training.retrieval.item_sequences import ItemSequences, Rows
from training.retrieval.sequence_trainer import Schedule, SequenceTrainer, broken
from training.retrieval.windows import Windows
from training.threads import n_threads

if TYPE_CHECKING:
    from training.retrieval.sequence_model import SequenceModel, Shape

LOG = logging.getLogger(__name__)
HIT_CUTS, NDCG_CUTS = (1, 5, 10), (5, 10)
BATCH = 256
ACTION, GAP = 1, 1
"""The one action and the one gap that every row has."""


@dataclass(frozen=True)
class EpochFigures:
    """Quality on the held-back training items after an epoch, and what learning took until then, measuring apart."""

    epoch: int
    ndcg_at_10: float
    hit_rate_at_10: float
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Recipe:
    """How large a model is and how it learns; the learning rate falls over all `epochs`."""

    shape: Shape
    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Fit:
    """The model of the best epoch, how it went, and what `training.throughput` measured of it."""

    model: SequenceModel
    curve: list[EpochFigures]
    throughput: Mapping[str, float]

    @property
    def best(self) -> EpochFigures:
        """Return the first of the best epochs."""
        return _best(self.curve)


def fit(
    sequences: ItemSequences,
    recipe: Recipe,
    *,
    patience: int,
    seed: int,
    device: str,
    checkpoint: Path | None = None,
    costs: RunCosts | None = None,
) -> Fit:
    """Train until `patience` epochs brought nothing better on the held-back items, and keep the best epoch.

    After each epoch `checkpoint` holds all that the next depends on, and a run of the same data and settings goes on
    from there; `costs` then counts what was spent before.

    Raises:
        TrainingError: a loss, a weight or a score stopped being a number; the checkpoint is as the last good epoch
            left it.
    """
    learned, held_back = sequences.held_back()
    trainer = _start(learned, recipe, seed=seed, device=device)
    costs = costs or RunCosts()
    run = run_identity((learned, held_back), (recipe, patience, seed, len(sequences.item_ids)))
    kept = _resumed(trainer, checkpoint, run, costs)
    curve = [EpochFigures(**figures) for figures in kept.get("curve", ())]
    best = kept.get("best") or copy.deepcopy(trainer.model.state_dict())
    while len(curve) < recipe.epochs and not _has_settled(curve, patience):
        curve.append(_run_epoch(trainer, curve, learned, held_back))
        if _best(curve) is curve[-1]:
            best = copy.deepcopy(trainer.model.state_dict())
        if checkpoint:
            figures = [asdict(own) for own in curve]
            trainer.keep(checkpoint, run, best=best, curve=figures, costs=costs.to_dict())
    trainer.model.load_state_dict(best)
    return Fit(trainer.model.eval(), curve, trainer.meter.to_dict())


def refit(
    sequences: ItemSequences,
    recipe: Recipe,
    *,
    epochs: int,
    seed: int,
    device: str,
    checkpoint: Path | None = None,
    costs: RunCosts | None = None,
) -> SequenceModel:
    """Train anew on all items, those that chose the epoch too, and stop after so many epochs of the recipe's.

    See `fit` for the checkpoint and errors.
    """
    trainer = _start(sequences, recipe, seed=seed, device=device)
    costs = costs or RunCosts()
    run = run_identity((sequences,), (recipe, epochs, seed, len(sequences.item_ids)))
    done = _resumed(trainer, checkpoint, run, costs).get("epoch", 0)
    for epoch in range(done + 1, epochs + 1):
        trainer.run_epoch(epoch)
        if checkpoint:
            trainer.keep(checkpoint, run, epoch=epoch, costs=costs.to_dict())
    return trainer.model.eval()


def _resumed(trainer: SequenceTrainer, checkpoint: Path | None, run: str, costs: RunCosts) -> dict[str, Any]:
    kept = trainer.resume(checkpoint, run) if checkpoint else None
    if kept is None:
        return {}
    costs.go_on_from(kept["costs"])
    return kept


def _run_epoch(
    trainer: SequenceTrainer, curve: Sequence[EpochFigures], learned: ItemSequences, held_back: Rows
) -> EpochFigures:
    """Learn from every window once more, and measure; seconds add up to those of the curve so far."""
    epoch, before = len(curve) + 1, (curve[-1].seconds, curve[-1].cpu_seconds) if curve else (0.0, 0.0)
    started, cpu_started = time.monotonic(), time.process_time()
    trainer.run_epoch(epoch)
    seconds, cpu_seconds = before[0] + time.monotonic() - started, before[1] + time.process_time() - cpu_started
    ranks = rank_targets(trainer.model, learned, held_back)
    figures = EpochFigures(epoch, ndcg(ranks, 10), hit_rate(ranks, 10), seconds, cpu_seconds)
    LOG.info("epoch %d: ndcg@10 %.4f, hr@10 %.4f on held-back items, %.0f s", epoch, *_shown(figures))
    return figures


def _has_settled(curve: Sequence[EpochFigures], patience: int) -> bool:
    return bool(curve) and curve[-1].epoch - _best(curve).epoch >= patience


def _best(figures: Sequence[EpochFigures]) -> EpochFigures:
    return max(figures, key=lambda each: each.ndcg_at_10)


def _start(sequences: ItemSequences, recipe: Recipe, *, seed: int, device: str) -> SequenceTrainer:
    import torch

    from training.retrieval.sequence_model import SequenceModel

    torch.set_num_threads(n_threads())
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    windows = make_windows(sequences, length=recipe.shape.max_length)
    model = SequenceModel(len(sequences.item_ids), recipe.shape).to(device)
    schedule = Schedule(recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay, len(windows))
    return SequenceTrainer(model, windows, schedule, device=device, seed=seed)


def _shown(figures: EpochFigures) -> tuple[float, float, float]:
    return figures.ndcg_at_10, figures.hit_rate_at_10, figures.seconds


def make_windows(sequences: ItemSequences, *, length: int) -> Windows:
    """Cut each sequence, from its end, into stretches of `length`; each item but a user's first is a target once."""
    stretches = []
    for items in sequences.items:
        for stop in range(len(items), 1, -length):
            stretches.append(items[max(0, stop - length - 1) : stop])
    inputs, targets = (np.zeros((len(stretches), length), dtype=np.int64) for _ in range(2))
    for row, items in enumerate(stretches):
        inputs[row, length + 1 - len(items) :] = items[:-1] + 1
        targets[row, length + 1 - len(items) :] = items[1:] + 1
    known = (inputs > 0).astype(np.int64)
    return Windows(inputs, known * ACTION, known * GAP, targets)


def rank_targets(model: SequenceModel, sequences: ItemSequences, targets: Rows) -> NDArray[np.float64]:
    """Return the rank of each user's target among the items the user has not had, 0 at the top.

    Ties count half, so that a model that scores everything alike gains nothing. A target of -1, which no model can
    name, ranks infinitely low: it is no hit even in a catalogue of few items.

    Raises:
        TrainingError: a score is no number; nothing would be above it.
    """
    import torch

    from training.retrieval.sequence_model import Encoder

    encoder, length = Encoder(model), model.places.num_embeddings
    weight = model.item_vectors().detach()
    ranks = []
    with torch.no_grad():
        for first in range(0, len(targets), BATCH):
            own = sequences.items[first : first + BATCH]
            inputs = np.zeros((len(own), length), dtype=np.int64)
            for row, items in enumerate(own):
                inputs[row, length - min(len(items), length) :] = items[-length:] + 1
            known = (inputs > 0).astype(np.int64)
            parts = (torch.as_tensor(part, device=weight.device) for part in (inputs, known * ACTION, known * GAP))
            scores = (encoder(*parts) @ weight.T).cpu().numpy()
            if not np.isfinite(scores).all():
                raise broken("scores of items are no numbers")
            ranks += [
                rank_of(scores[row], int(target), items)
                for row, (target, items) in enumerate(zip(targets[first : first + BATCH], own, strict=True))
            ]
    return np.array(ranks)


def rank_of(scores: NDArray[np.float32], target: int, had: Rows) -> float:
    """Return the target's rank among items not had; ties count half; the target itself is always a candidate.

    >>> rank_of(np.array([3.0, 2.0, 2.0, 1.0]), 2, np.array([0]))
    0.5
    """
    if target < 0:
        return math.inf
    allowed = np.ones(len(scores), dtype=bool)
    allowed[had] = False
    allowed[target] = False
    others = scores[allowed]
    return float((others > scores[target]).sum() + (others == scores[target]).sum() / 2)


def hit_rate(ranks: NDArray[np.float64], k: int) -> float:
    """Return the share of targets among the first k."""
    return float((ranks < k).mean())


def ndcg(ranks: NDArray[np.float64], k: int) -> float:
    """Return NDCG@k with one relevant item: 1 / log2(rank + 2) within the first k, else 0."""
    return float(np.where(ranks < k, 1 / np.log2(ranks + 2), 0.0).mean())


def measure(ranks: NDArray[np.float64]) -> dict[str, float]:
    """Return hr@k and ndcg@k at the usual cuts."""
    hits = {f"hr@{k}": hit_rate(ranks, k) for k in HIT_CUTS}
    return hits | {f"ndcg@{k}": ndcg(ranks, k) for k in NDCG_CUTS}
