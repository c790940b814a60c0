"""The loop that fits a sequence model to windows: batches of like length, one-cycle learning rate, two losses."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from training.checkpoint import broken_weights, read_checkpoint, write_checkpoint
from training.retrieval.windows import Windows
from training.throughput import Meter

if TYPE_CHECKING:
    import torch

    from training.retrieval.sequence_model import SequenceModel

LOG = logging.getLogger(__name__)

FULL_SOFTMAX_ITEMS = 4_000
"""Up to so many items the loss is over the whole catalogue; beyond it, over N_NEGATIVES that a mini-batch shares."""

N_NEGATIVES = 1_024


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn; of more windows than `windows_per_epoch`, each epoch draws anew."""

    epochs: int
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    windows_per_epoch: int = 8_000


MAX_JUDGED = 2_000
"""Windows that choose the epoch."""

LEAST_STEPS = 20
"""A schedule of fewer steps has no room for its warm-up: torch divides by its length less one."""


class SequenceTrainer:
    """Optimiser, schedule and loss over one set of windows."""

    def __init__(
        self, model: SequenceModel, windows: Windows, schedule: Schedule, *, device: str = "cpu", seed: int
    ) -> None:
        import torch

        from training.resident import Resident

        self.model, self._device, self._batch_size = model, device, schedule.batch_size
        self._seed, self.meter = seed, Meter(device)
        self._windows, self._lengths = Resident(windows.parts, device), windows.lengths
        self._per_epoch = min(len(windows), schedule.windows_per_epoch)
        rate = schedule.learning_rate
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=schedule.weight_decay)
        n_steps = schedule.epochs * math.ceil(self._per_epoch / schedule.batch_size)
        self.rates = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=rate, total_steps=max(n_steps, LEAST_STEPS), pct_start=0.1
        )
        counts = np.bincount(windows.targets[windows.targets > 0] - 1, minlength=model.bias.shape[0])
        with torch.no_grad():
            # Starting from popularity, the embeddings need only learn what differs from it.
            model.bias.copy_(torch.as_tensor(np.log(counts + 1.0) - np.log(counts + 1.0).mean()))
        self._chances = torch.as_tensor((counts + 1.0) / (counts + 1.0).sum(), device=device, dtype=torch.float32)

    def run_epoch(self, epoch: int) -> None:
        """Learn from every window once, or from a draw of them where there are more than the schedule allows.

        All chance comes from the seed and the epoch's number, so that a run can go on where it was cut.

        Raises:
            TrainingError: the loss or a weight stopped being a number; the weights are then worthless.
        """
        import torch

        generator = np.random.default_rng([self._seed, epoch])
        torch.manual_seed(int(generator.integers(2**62)))
        self.model.train()
        rows = generator.permutation(len(self._lengths))[: self._per_epoch]
        # Windows of like length together: less padding. Which come together is still by chance.
        for part in like_lengths(self._lengths[rows], self._batch_size, generator):
            with self.meter.step(len(part)):
                self._step(rows[part])
        if (name := broken_weights(self.model)) is not None:
            raise broken(f"weights {name} are no numbers after epoch {epoch}")

    def _step(self, batch: NDArray[np.intp]) -> None:
        import torch

        parts = self._windows.take(batch, int(self._lengths[batch].max()))
        loss = self._loss(*parts, sampled=len(self._chances) > FULL_SOFTMAX_ITEMS)
        if not bool(torch.isfinite(loss)):
            raise broken(f"loss became {loss.item()}")
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.rates.step()

    def loss_of(self, windows: Windows) -> float:
        """Return the loss per target over the whole catalogue, dropout off, of at most MAX_JUDGED, evenly spread.

        Raises:
            TrainingError: it is no number.
        """
        import torch

        from training.resident import Resident

        self.model.eval()
        # They come user by user: the first alone would be those of the first names.
        judged = windows.take(np.arange(0, len(windows), max(1, -(-len(windows) // MAX_JUDGED))))
        total, n, resident, lengths = 0.0, 0, Resident(judged.parts, self._device), judged.lengths
        with torch.no_grad():
            for first in range(0, len(judged), self._batch_size):
                part = np.arange(first, min(first + self._batch_size, len(judged)))
                n_targets = int((judged.targets[part] > 0).sum())
                total += float(self._loss(*resident.take(part, int(lengths[part].max())), sampled=False)) * n_targets
                n += n_targets
        loss = total / max(n, 1)
        if not math.isfinite(loss):
            raise broken(f"validation loss became {loss}")
        return loss

    def keep(self, checkpoint: Path, run: str, **progress: Any) -> None:
        """Write all that the next epoch depends on, and the caller's own progress."""
        write_checkpoint(checkpoint, run, progress | {name: part.state_dict() for name, part in self._parts().items()})

    def resume(self, checkpoint: Path, run: str) -> dict[str, Any] | None:
        """Set model, optimiser and rates as `keep` left them; return the progress, or None where this run left none."""
        state = read_checkpoint(checkpoint, run, self._device)
        if state is None:
            return None
        for name, part in self._parts().items():
            part.load_state_dict(state.pop(name))
        LOG.info("the transformer goes on from the checkpoint %s", checkpoint)
        return state

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "rates": self.rates, "meter": self.meter}

    def _loss(
        self, items: torch.Tensor, actions: torch.Tensor, gaps: torch.Tensor, targets: torch.Tensor, *, sampled: bool
    ) -> torch.Tensor:
        import torch

        from training.retrieval.softmax_loss import catalogue_loss

        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._device == "cuda"):
            vectors = self.model(items, actions, gaps)
        targets = targets.reshape(-1)
        kept = targets.nonzero()[:, 0]
        vectors, targets = vectors.reshape(-1, vectors.shape[-1])[kept].float(), targets[kept] - 1
        if not sampled:
            return catalogue_loss(vectors, self.model.items.weight[1:], self.model.bias, targets)
        return self._sampled_loss(vectors, targets)

    def _sampled_loss(self, vectors: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Softmax over the target and shared negatives, each less the log of its chance to be drawn (logQ)."""
        import torch

        drawn = torch.multinomial(self._chances, N_NEGATIVES, replacement=True)
        weight, bias = self.model.items.weight[1:], self.model.bias
        own = (vectors * weight[targets]).sum(-1) + bias[targets] - self._chances[targets].log()
        others = vectors @ weight[drawn].T + bias[drawn] - self._chances[drawn].log()
        others = others.masked_fill(drawn[None] == targets[:, None], -1e9)
        logits = torch.cat([own[:, None], others], dim=1)
        return torch.nn.functional.cross_entropy(logits, torch.zeros_like(targets))


def like_lengths(lengths: NDArray[Any], batch_size: int, generator: np.random.Generator) -> list[NDArray[np.intp]]:
    """Return mini-batches of rows of about the same length, in random order; which come together is by chance."""
    order = np.argsort(lengths + generator.random(len(lengths)), kind="stable")
    batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def broken(what: str) -> TrainingError:
    """Return the error of a training whose numbers are none; nothing is kept of the epoch that broke them."""
    return TrainingError(
        f"the transformer's {what}; the last good model stays, the checkpoint is as the last good epoch left it, and "
        "nothing is registered. Look for numbers out of range in the training set, or lower the learning rate."
    )
