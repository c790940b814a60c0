"""Train the transformer on the base span, and export it: user encoder as ONNX, items as a matrix.

In: a training set. Out: `SequenceResult`. CPU by default, CUDA where there is one, the same code; the same seed on the
same machine gives the same weights. Stops early by the loss on the base span's last slice. Started from an earlier
bundle's weights it learns, in fewer and smaller steps, from what those had not learned from yet.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recloop.clock import format_time, from_ms
from recloop.errors import TrainingError
from recloop.retrieval import Encode
from recloop.sequences import MAX_ACTIONS
from training.checkpoint import run_identity
from training.data.dataset import TrainingSet
from training.retrieval.sequence_trainer import Schedule, SequenceTrainer
from training.retrieval.warm_start import WarmStart
from training.retrieval.windows import make_windows
from training.scoring import by_length
from training.threads import n_threads

if TYPE_CHECKING:
    from training.retrieval.sequence_model import SequenceModel

LOG = logging.getLogger(__name__)
VALIDATION_SHARE = 0.1
MIN_GAIN, PATIENCE = 0.005, 2
"""Training ends after PATIENCE epochs that each lower the validation loss by less than MIN_GAIN."""

WARM_EPOCHS, WARM_RATE = 2, 5e-4
"""At most so many epochs, at a quarter of the usual rate, where the weights have learned before."""


@dataclass(frozen=True)
class SequenceResult:
    """The trained model and how it went: the validation loss after each epoch, the best one's weights kept.

    `learned_until_ms` is the moment that what it learned from lies before; `started_from` the bundle of a warm start.
    """

    model: SequenceModel
    losses: list[float]
    epochs: int
    device: str
    learned_until_ms: int
    started_from: str | None = None
    throughput: Mapping[str, float] = field(default_factory=dict)

    def item_vectors(self) -> NDArray[np.float32]:
        """Return [n_items, d + 1] for dot products with the encoder's output."""
        vectors: NDArray[np.float32] = self.model.item_vectors().detach().cpu().numpy()
        return vectors

    @cached_property
    def encoder(self) -> bytes:
        """The user encoder as ONNX, see `encoder_graph`; made once, though a training may write two bundles."""
        return encoder_graph(self.model)


def choose_device(wanted: str) -> str:
    """Return cpu or cuda; `auto` takes CUDA where there is one.

    Raises:
        TrainingError: cuda was asked for and there is none.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device cuda was asked for, torch finds none. Use --device cpu or auto.")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def train_sequence(
    training_set: TrainingSet,
    *,
    epochs: int,
    seed: int,
    device: str = "auto",
    checkpoint: Path | None = None,
    warm: WarmStart | None = None,
) -> SequenceResult:
    """Train on the base span, and go on from `checkpoint` where it is of this very run.

    Raises:
        TrainingError: no user liked two items there, or none since what `warm` learned from; `warm` knows what this
            training is validated on; or the loss stopped being a number (nothing is kept then).
    """
    import torch

    from training.retrieval.sequence_model import SequenceModel

    torch.set_num_threads(n_threads())
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    where = choose_device(device)
    split = training_set.split
    cut_ms = validation_start(training_set)
    start_ms = split.start_ms if warm is None else _start_after(warm, cut_ms)
    training = make_windows(training_set, start_ms=start_ms, end_ms=cut_ms)
    validation = make_windows(training_set, start_ms=cut_ms, end_ms=split.stack_ms)
    if not len(training) or not len(validation):
        raise TrainingError(
            f"the base span has {len(training)} stretches of a user's log to learn from"
            f"{f' that bundle {warm.bundle_id} did not learn from' if warm else ''} and {len(validation)} to validate "
            f"on; both need one at least. Train on a longer span{', or without --warm-start' if warm else ''}."
        )
    model = SequenceModel(len(training_set.items)).to(where)
    schedule = Schedule(epochs) if warm is None else Schedule(min(epochs, WARM_EPOCHS), learning_rate=WARM_RATE)
    trainer = SequenceTrainer(model, training, schedule, device=where, seed=seed)
    if warm is not None:
        n_known = warm.load_into(model, training_set.items)
        LOG.info("the transformer starts from bundle %s, which knows %d of the items", warm.bundle_id, n_known)
    settings = (schedule, seed, len(training_set.items), warm and warm.bundle_id)
    run = run_identity((training, validation), settings) if checkpoint else ""
    kept = trainer.resume(checkpoint, run) if checkpoint else None
    losses, best = (kept["losses"], kept["best"]) if kept else ([], copy.deepcopy(model.state_dict()))
    while len(losses) < schedule.epochs and not _has_settled(losses):
        trainer.run_epoch(len(losses) + 1)
        losses.append(trainer.loss_of(validation))
        LOG.info("transformer epoch %d of %d: validation loss %.4f", len(losses), schedule.epochs, losses[-1])
        if losses[-1] == min(losses):
            best = copy.deepcopy(model.state_dict())
        if checkpoint:
            trainer.keep(checkpoint, run, best=best, losses=losses)
    model.load_state_dict(best)
    best_epoch = int(np.argmin(losses)) + 1
    started_from, throughput = warm.bundle_id if warm else None, trainer.meter.to_dict()
    return SequenceResult(model.eval(), losses, best_epoch, where, cut_ms, started_from, throughput)


def _start_after(warm: WarmStart, cut_ms: int) -> int:
    """Return the moment from which there is something new to learn."""
    if warm.learned_until_ms > cut_ms:
        learned, validated = (format_time(from_ms(moment)) for moment in (warm.learned_until_ms, cut_ms))
        raise TrainingError(
            f"bundle {warm.bundle_id} learned from what was done up to {learned}; this training is validated on what "
            f"was done from {validated} on. Train on later data, or without --warm-start."
        )
    return warm.learned_until_ms


def _has_settled(losses: list[float]) -> bool:
    return len(losses) > PATIENCE and min(losses[:-PATIENCE]) - min(losses[-PATIENCE:]) < MIN_GAIN


def validation_start(training_set: TrainingSet) -> int:
    """Return the moment from which the base span validates: its last tenth of interactions."""
    times = training_set.interactions.times_ms
    base = np.sort(times[times < training_set.split.stack_ms])
    return int(base[int(len(base) * (1 - VALIDATION_SHARE))])


def torch_encoder(model: SequenceModel, *, batch_size: int = 64) -> Encode:
    """Return the user encoder over torch, for many sequences at once; the ONNX graph gives the same vectors."""
    import torch

    from training.retrieval.sequence_model import Encoder

    device = next(model.parameters()).device
    encoder = Encoder(model)

    def encode(*parts: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.no_grad():
            vectors = encoder(*(torch.as_tensor(part, device=device) for part in parts))
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found

    return by_length(encode, batch_size=batch_size)


def encoder_graph(model: SequenceModel) -> bytes:
    """Return the user encoder as ONNX: int64 [batch, n ≤ MAX_ACTIONS] three times → `vector` float32 [batch, d + 1]."""
    import torch

    from training.retrieval.sequence_model import Encoder

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
    graph: bytes = program.model_proto.SerializeToString()
    return graph
