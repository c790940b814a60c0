"""Train the ranker: mini-batches of whole users, one-cycle learning rate, the best epoch by later rows kept.

In: rows to learn from and later ones to validate on. Out: `RankerResult`. All chance of an epoch comes from the seed
and the epoch's number, so a run that was cut off goes on from its model checkpoint to what it would have been uncut.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_HOUR
from recloop.errors import TrainingError
from recloop.histories import gap_buckets
from training.checkpoint import broken_weights, read_checkpoint, run_identity, write_checkpoint
from training.costs import trim_memory
from training.ranker.batches import pieces, user_batches
from training.ranker.rows import ItemTable, RankerRows, RankerShape
from training.retrieval.sequence import choose_device
from training.retrieval.sequence_trainer import LEAST_STEPS
from training.threads import n_threads
from training.throughput import Meter

if TYPE_CHECKING:
    import torch

    from training.ranker.model import RankerModel
    from training.ranker.resident_rows import Batch

LOG = logging.getLogger(__name__)

PATIENCE = 2
"""Training ends after so many epochs without a new best: a ranker overfits after two or three."""


@dataclass(frozen=True)
class RankerSchedule:
    """How to learn; ids and codes of users and items decay `TABLE_DECAY` times as fast as the rest."""

    batch_rows: int = 1_000
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    pair_weight: float = 0.3


TABLE_DECAY = 10.0

PIECE_ROWS = {"cpu": 125, "cuda": 4_000}
"""So many rows of a mini-batch are gone through at once: on CPU half as many take as long and hold half the memory,
a GPU wants all of them."""

RELEASE_EVERY = 5
"""After so many mini-batches freed memory goes back to the machine: pieces differ in shape and leave gaps."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of a learning curve; losses are per row, that of validation None where there were no rows for it."""

    training_loss: float
    validation_loss: float | None
    seconds: float


@dataclass(frozen=True)
class RankerResult:
    """The model with its best epoch's weights, and how it went."""

    model: RankerModel
    curve: tuple[Epoch, ...]
    device: str
    throughput: Mapping[str, float] = field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """Return the number of the epoch whose weights were kept, from 1; without validation the last."""
        return best_place(self.curve) + 1


class RankerTrainer:
    """Optimiser, schedule and loss over one set of rows."""

    def __init__(
        self, model: RankerModel, rows: RankerRows, schedule: RankerSchedule, *, epochs: int, device: str, seed: int
    ) -> None:
        import torch

        from training.ranker.resident_rows import ResidentRows

        self.model, self._rows, self._schedule, self._device, self._seed = model, rows, schedule, device, seed
        self._resident = ResidentRows(rows, device)
        tables = model.tables()
        self.meter = Meter(device)
        own = {id(table) for table in tables}
        others = [parameter for parameter in model.parameters() if id(parameter) not in own]
        rate, decay = schedule.learning_rate, schedule.weight_decay
        groups = [{"params": tables, "weight_decay": TABLE_DECAY * decay}, {"params": others, "weight_decay": decay}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate)
        # As many as there can be: how many there are differs by one with the order of the users.
        n_steps = epochs * (len(rows) // schedule.batch_rows + 1)
        self.rates = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=rate, total_steps=max(n_steps, LEAST_STEPS), pct_start=0.1
        )

    def run_epoch(self, epoch: int) -> float:
        """Learn from every row once; return the mean loss of a row while learning.

        Raises:
            TrainingError: the loss or a weight stopped being a number; the weights are then worthless.
        """
        import torch

        generator = np.random.default_rng([self._seed, epoch])
        torch.manual_seed(int(generator.integers(2**62)))
        self.model.train()
        total = 0.0
        for step, batch in enumerate(user_batches(self._rows.users, self._schedule.batch_rows, generator), start=1):
            with self.meter.step(len(batch)):
                total += self._step(batch, generator, f"training loss became {{}} in epoch {epoch}, step {step}")
            if self._device == "cpu" and step % RELEASE_EVERY == 0:
                trim_memory()
        if (name := broken_weights(self.model)) is not None:
            raise _broken(f"weights {name} are no numbers after epoch {epoch}")
        return total / len(self._rows)

    def _step(self, batch: NDArray[np.integer], generator: np.random.Generator, what: str) -> float:
        """Learn from one mini-batch; return the sum of its rows' losses."""
        import torch

        total = 0.0
        self.optimizer.zero_grad()
        for piece in pieces(self._rows, batch, PIECE_ROWS[self._device]):
            part = self._resident.take(piece)
            loss = self._loss(part, self._youngest(len(part.histories[0]), generator))
            total += loss.item() * len(piece)
            _check(total, what)
            (loss * (len(piece) / len(batch))).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.rates.step()
        return total

    def loss_of(self, rows: RankerRows) -> float:
        """Return the mean loss of a row with dropout and time-window mask off."""
        import torch

        from training.ranker.resident_rows import ResidentRows

        self.model.eval()
        total, resident = 0.0, ResidentRows(rows, self._device)
        with torch.no_grad():
            for batch in user_batches(rows.users, self._schedule.batch_rows):
                for piece in pieces(rows, batch, PIECE_ROWS[self._device]):
                    total += self._loss(resident.take(piece), None).item() * len(piece)
        return total / len(rows)

    def _loss(self, batch: Batch, youngest: torch.Tensor | None) -> torch.Tensor:
        import torch

        from training.ranker.joint_loss import joint_loss

        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._device == "cuda"):
            logits = self.model(*batch.histories, *batch.rows, youngest)
        return joint_loss(logits.float(), batch.labels, batch.users, self._schedule.pair_weight)

    def _youngest(self, n_requests: int, generator: np.random.Generator) -> torch.Tensor | None:
        """Draw from which gap bucket on each request sees its history: what is newer than a random age, for certain."""
        import torch

        hours = self.model.shape.window_mask_hours
        if not hours:
            return None
        ages_ms = (generator.random(n_requests) * hours * MS_PER_HOUR).astype(np.int64)
        return torch.as_tensor(gap_buckets(ages_ms), device=self._device)


def train_ranker(
    training: RankerRows,
    validation: RankerRows | None,
    shape: RankerShape,
    *,
    items: ItemTable,
    epochs: int,
    seed: int,
    device: str = "auto",
    schedule: RankerSchedule = RankerSchedule(),
    checkpoint: Path | None = None,
) -> RankerResult:
    """Train a ranker, and go on from `checkpoint` where it is of this very run.

    Without validation all epochs are run and the last is kept.

    Raises:
        TrainingError: there are no rows to learn from or to validate on; or a checkpoint is asked of a ranker that
            several processes share; or the loss stopped being a number, and the checkpoint is as the last good epoch
            left it.
    """
    import torch

    from training.ranker.model import new_ranker
    from training.ranker.sharding import are_joined, gather_items, shard_items

    n_validation = None if validation is None else len(validation)
    if not len(training) or n_validation == 0:
        raise TrainingError(
            f"there are {len(training)} rows to learn from and {n_validation} to validate on; the ranker needs some "
            "of both. Train on a longer span."
        )
    if checkpoint and are_joined():
        raise TrainingError(f"processes that share one ranker have no model checkpoint; leave {checkpoint} out.")
    torch.set_num_threads(n_threads())
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    where = choose_device(device)
    model = shard_items(new_ranker(training, items, shape), where).to(where)
    trainer = RankerTrainer(model, training, schedule, epochs=epochs, device=where, seed=seed)
    run = run_identity((training, validation, items), (shape, schedule, epochs, seed)) if checkpoint else ""
    curve, best = _resumed(trainer, checkpoint, run)
    while len(curve) < epochs and not has_settled(curve):
        curve.append(_run_epoch(trainer, validation, len(curve) + 1, epochs))
        if best_place(curve) == len(curve) - 1:
            best = copy.deepcopy(model.state_dict())
        if checkpoint:
            state = {"best": best, "curve": [asdict(epoch) for epoch in curve], **_parts(trainer)}
            write_checkpoint(checkpoint, run, state)
    model.load_state_dict(best)
    return RankerResult(gather_items(model).eval(), tuple(curve), where, trainer.meter.to_dict())


def has_settled(curve: list[Epoch]) -> bool:
    """Tell whether the last PATIENCE epochs brought no new best."""
    return bool(curve) and len(curve) - 1 - best_place(curve) >= PATIENCE


def best_place(curve: Sequence[Epoch]) -> int:
    """Return the place of the first epoch with the lowest validation loss; of the last where there is none."""
    losses = [epoch.validation_loss for epoch in curve if epoch.validation_loss is not None]
    return int(np.argmin(losses)) if losses else len(curve) - 1


def _run_epoch(trainer: RankerTrainer, validation: RankerRows | None, epoch: int, epochs: int) -> Epoch:
    started = time.monotonic()
    training_loss = trainer.run_epoch(epoch)
    validation_loss = None if validation is None else trainer.loss_of(validation)
    if validation_loss is not None:
        _check(validation_loss, f"validation loss became {{}} after epoch {epoch}")
    LOG.info("ranker epoch %d of %d: training %.4f, validation %s", epoch, epochs, training_loss, validation_loss)
    return Epoch(training_loss, validation_loss, time.monotonic() - started)


def _parts(trainer: RankerTrainer) -> dict[str, Any]:
    return {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "rates": trainer.rates.state_dict(),
        "meter": trainer.meter.state_dict(),
    }


def _resumed(trainer: RankerTrainer, checkpoint: Path | None, run: str) -> tuple[list[Epoch], dict[str, Any]]:
    """Return the curve so far and the best epoch's weights, the trainer set to go on from there."""
    state = read_checkpoint(checkpoint, run, trainer._device) if checkpoint else None
    if state is None:
        return [], copy.deepcopy(trainer.model.state_dict())
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.rates.load_state_dict(state["rates"])
    trainer.meter.load_state_dict(state["meter"])
    curve = [Epoch(**epoch) for epoch in state["curve"]]
    LOG.info("ranker goes on after epoch %d of the checkpoint %s", len(curve), checkpoint)
    return curve, state["best"]


def _check(loss: float, what: str) -> None:
    if not np.isfinite(loss):
        raise _broken(what.format(loss))


def _broken(what: str) -> TrainingError:
    return TrainingError(
        f"the ranker's {what}; the last good model stays, and the checkpoint as the last good epoch left it. Look for "
        "numbers out of range in the rows, or lower the learning rate."
    )
