"""Train the transformer on the base span, and export it: user encoder as ONNX, items as a matrix.

In: a training set. Out: `SequenceResult`. CPU by default, CUDA where there is one, the same code; the same seed on the
same machine gives the same weights. Stops early by the loss on the base span's last slice.
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from recloop.recommend import Encode
from recloop.sequences import MAX_ACTIONS
from training.dataset import TrainingSet
from training.windows import Windows, make_windows

if TYPE_CHECKING:
    import torch

    from training.sequence_model import SequenceModel

LOG = logging.getLogger(__name__)
BATCH_SIZE = 32
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.01
VALIDATION_SHARE = 0.1
MIN_GAIN, PATIENCE = 0.005, 2
"""Training ends after PATIENCE epochs that each lower the validation loss by less than MIN_GAIN."""

FULL_SOFTMAX_ITEMS = 4_000
"""Up to so many items the loss is over the whole catalogue; beyond it, over N_NEGATIVES that a mini-batch shares."""

N_NEGATIVES = 1_024
MAX_WINDOWS_PER_EPOCH = 8_000
N_THREADS = 2


@dataclass(frozen=True)
class SequenceResult:
    """The trained model and how it went: the validation loss after each epoch, the best one's weights kept."""

    model: SequenceModel
    losses: list[float]
    epochs: int
    device: str

    def item_vectors(self) -> NDArray[np.float32]:
        """Return [n_items, d + 1] for dot products with the encoder's output."""
        vectors: NDArray[np.float32] = self.model.item_vectors().detach().cpu().numpy()
        return vectors


def choose_device(wanted: str) -> str:
    """Return cpu or cuda; `auto` takes CUDA where there is one.

    Raises:
        TrainingError: cuda was asked for and there is none.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device cuda was asked for, torch finds none. Use --device cpu or auto.")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def train_sequence(training_set: TrainingSet, *, epochs: int, seed: int, device: str = "auto") -> SequenceResult:
    """Train on the base span.

    Raises:
        TrainingError: no user liked two items there; or the loss stopped being a number (nothing is kept then).
    """
    import torch

    from training.sequence_model import SequenceModel

    torch.set_num_threads(N_THREADS)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    where = choose_device(device)
    split = training_set.split
    cut_ms = validation_start(training_set)
    training = make_windows(training_set, start_ms=split.start_ms, end_ms=cut_ms)
    validation = make_windows(training_set, start_ms=cut_ms, end_ms=split.stack_ms)
    if not len(training) or not len(validation):
        raise TrainingError(
            f"the base span has {len(training)} stretches of a user's log to learn from and {len(validation)} to "
            "validate on; both need one at least. Train on a longer span."
        )
    model = SequenceModel(len(training_set.items)).to(where)
    trainer = _Trainer(model, training, where, seed, epochs)
    losses, best = [], copy.deepcopy(model.state_dict())
    for epoch in range(epochs):
        trainer.run_epoch()
        losses.append(trainer.loss_of(validation))
        LOG.info("transformer epoch %d of %d: validation loss %.4f", epoch + 1, epochs, losses[-1])
        if losses[-1] == min(losses):
            best = copy.deepcopy(model.state_dict())
        if _has_settled(losses):
            break
    model.load_state_dict(best)
    return SequenceResult(model.eval(), losses, int(np.argmin(losses)) + 1, where)


def _has_settled(losses: list[float]) -> bool:
    return len(losses) > PATIENCE and min(losses[:-PATIENCE]) - min(losses[-PATIENCE:]) < MIN_GAIN


def validation_start(training_set: TrainingSet) -> int:
    """Return the moment from which the base span validates: its last tenth of interactions."""
    times = training_set.interactions.times_ms
    base = np.sort(times[times < training_set.split.stack_ms])
    return int(base[int(len(base) * (1 - VALIDATION_SHARE))])


class _Trainer:
    """Optimiser, schedule and loss over one set of windows."""

    def __init__(self, model: SequenceModel, windows: Windows, device: str, seed: int, epochs: int) -> None:
        import torch

        self._model, self._windows, self._device = model, windows, device
        self._generator = np.random.default_rng(seed)
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        n_steps = epochs * math.ceil(min(len(windows), MAX_WINDOWS_PER_EPOCH) / BATCH_SIZE)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, max_lr=LEARNING_RATE, total_steps=n_steps, pct_start=0.1
        )
        counts = np.bincount(windows.targets[windows.targets > 0] - 1, minlength=model.bias.shape[0])
        with torch.no_grad():
            # Starting from popularity, the embeddings need only learn what differs from it.
            model.bias.copy_(torch.as_tensor(np.log(counts + 1.0) - np.log(counts + 1.0).mean()))
        self._chances = torch.as_tensor((counts + 1.0) / (counts + 1.0).sum(), device=device, dtype=torch.float32)

    def run_epoch(self) -> None:
        import torch

        self._model.train()
        rows = self._generator.permutation(len(self._windows))[:MAX_WINDOWS_PER_EPOCH]
        # Windows of like length together: less padding. Which come together is still by chance.
        lengths = (self._windows.items[rows] > 0).sum(axis=1)
        batches = [rows[part] for part in _like_lengths(lengths, self._generator)]
        for batch in batches:
            loss = self._loss(self._windows.take(batch), sampled=len(self._chances) > FULL_SOFTMAX_ITEMS)
            if not bool(torch.isfinite(loss)):
                raise TrainingError(
                    f"the transformer's loss became {loss.item()}; the last good model stays, nothing is registered. "
                    "Look for numbers out of range in the training set, or lower the learning rate."
                )
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimizer.step()
            self._schedule.step()

    def loss_of(self, windows: Windows) -> float:
        """Return the loss per target over the whole catalogue, dropout off."""
        import torch

        self._model.eval()
        total, n = 0.0, 0
        with torch.no_grad():
            for first in range(0, min(len(windows), 2_000), BATCH_SIZE):
                part = windows.take(np.arange(first, min(first + BATCH_SIZE, len(windows))))
                n_targets = int((part.targets > 0).sum())
                total += float(self._loss(part, sampled=False)) * n_targets
                n += n_targets
        return total / max(n, 1)

    def _loss(self, windows: Windows, *, sampled: bool) -> torch.Tensor:
        import torch

        parts = (windows.items, windows.actions, windows.gaps)
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._device == "cuda"):
            vectors = self._model(*(torch.as_tensor(part, device=self._device) for part in parts))
        targets = torch.as_tensor(windows.targets, device=self._device).reshape(-1)
        kept = targets.nonzero()[:, 0]
        vectors, targets = vectors.reshape(-1, vectors.shape[-1])[kept].float(), targets[kept] - 1
        if not sampled:
            return torch.nn.functional.cross_entropy(
                vectors @ self._model.items.weight[1:].T + self._model.bias, targets
            )
        return self._sampled_loss(vectors, targets)

    def _sampled_loss(self, vectors: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Softmax over the target and shared negatives, each less the log of its chance to be drawn (logQ)."""
        import torch

        drawn = torch.multinomial(self._chances, N_NEGATIVES, replacement=True)
        weight, bias = self._model.items.weight[1:], self._model.bias
        own = (vectors * weight[targets]).sum(-1) + bias[targets] - self._chances[targets].log()
        others = vectors @ weight[drawn].T + bias[drawn] - self._chances[drawn].log()
        others = others.masked_fill(drawn[None] == targets[:, None], -1e9)
        logits = torch.cat([own[:, None], others], dim=1)
        return torch.nn.functional.cross_entropy(logits, torch.zeros_like(targets))


def _like_lengths(lengths: NDArray[Any], generator: np.random.Generator) -> list[NDArray[np.intp]]:
    order = np.argsort(lengths + generator.random(len(lengths)), kind="stable")
    batches = [order[first : first + BATCH_SIZE] for first in range(0, len(order), BATCH_SIZE)]
    return [batches[place] for place in generator.permutation(len(batches))]


def torch_encoder(model: SequenceModel, *, batch_size: int = 64) -> Encode:
    """Return the user encoder over torch, for many sequences at once; the ONNX graph gives the same vectors."""
    import torch

    from training.sequence_model import Encoder

    device = next(model.parameters()).device
    encoder = Encoder(model)

    def encode(items: NDArray[np.int64], actions: NDArray[np.int64], gaps: NDArray[np.int64]) -> NDArray[np.float32]:
        lengths = (items > 0).sum(axis=1)
        vectors = np.zeros((len(items), model.items.embedding_dim + 1), dtype=np.float32)
        order = np.argsort(lengths, kind="stable")
        with torch.no_grad():
            for first in range(0, len(order), batch_size):
                rows = order[first : first + batch_size]
                width = max(1, int(lengths[rows].max()))
                parts = (torch.as_tensor(part[rows, -width:], device=device) for part in (items, actions, gaps))
                vectors[rows] = encoder(*parts).float().cpu().numpy()
        return vectors

    return encode


def export_encoder(model: SequenceModel, path: Path) -> None:
    """Write the user encoder as ONNX: int64 [batch, n ≤ MAX_ACTIONS] three times → `vector` float32 [batch, d + 1]."""
    import torch

    from training.sequence_model import Encoder

    # The exporter tells of each of its passes.
    for name in ("onnx_ir", "onnxscript", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    example = tuple(torch.zeros(2, MAX_ACTIONS, dtype=torch.int64) for _ in range(3))
    batch, length = torch.export.Dim("batch", min=1, max=65_536), torch.export.Dim("length", min=1, max=MAX_ACTIONS)
    with warnings.catch_warnings():
        # It says that the three inputs share the batch dimension, as they should.
        warnings.filterwarnings("ignore", message=".*will not be used, since it shares", category=UserWarning)
        program = torch.onnx.export(
            Encoder(copy.deepcopy(model).cpu()),
            example,
            dynamo=True,
            input_names=["items", "actions", "gaps"],
            output_names=["vector"],
            dynamic_shapes=({0: batch, 1: length},) * 3,
            verbose=False,
        )
    assert program is not None, "with dynamo the exporter returns a program"
    program.save(path, external_data=False)
