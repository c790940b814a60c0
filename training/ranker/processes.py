"""Several processes that train one ranker: those that torchrun started.

The first process does all else that a training does, and hands the others the rows of each ranker. A ranker that they
share has no model checkpoint: a training that was killed goes on from the transformer's. What each of them holds stands
in `training.ranker.sharding`.

Run: torchrun --nproc-per-node 2 -m training.train ...
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
import torch.distributed as dist  # noqa: TID253 - as above
from torch.distributed.tensor.experimental import implicit_replication  # noqa: TID253 - as above

from recloop.errors import RecloopError, TrainingError
from training.ranker.rows import RankerRows, RankerShape
from training.ranker.sharding import are_joined
from training.ranker.trainer import RankerResult, train_ranker

LOG = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(days=2)
"""So long may the first process take for all else while the others wait. Where one dies, torchrun stops the others."""


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started, each with a GPU of its own where there are any (gloo on CPU, NCCL)."""
    dist.init_process_group(timeout=LONGEST_WAIT)
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(dist.get_node_local_rank())
        # Clipping and AdamW meet sharded and whole tensors in one list; the whole ones are indeed the same everywhere.
        with implicit_replication():
            yield
    finally:
        dist.destroy_process_group()


def with_helpers(command: Callable[[], int]) -> int:
    """Run a command in the first of the processes that torchrun started; the others help with the rankers it trains."""
    with processes():
        if dist.get_rank():
            _help()
            return 0
        try:
            code = command()
        except RecloopError:
            # After any other error this process dies, and torchrun stops the helpers.
            _hand_out(None)
            raise
        _hand_out(None)
        return code


def train_together(
    training: RankerRows, validation: RankerRows | None, shape: RankerShape, *, checkpoint: Path | None, **how: Any
) -> RankerResult:
    """Train a ranker as `train_ranker` does, with the helpers where there are any, and then without a checkpoint."""
    if are_joined():
        _hand_out((training, validation, shape, how))
        checkpoint = None
    return train_ranker(training, validation, shape, checkpoint=checkpoint, **how)


def _help() -> None:
    """Train each ranker that the first process trains, until it says that there is no other."""
    while (task := _hand_out(None)) is not None:
        training, validation, shape, how = task
        try:
            train_ranker(training, validation, shape, **how)
        except TrainingError as error:
            # The first process has met the same, and decides what comes of it.
            LOG.warning("%s", error)


def _hand_out(task: Any) -> Any:
    """Return what the first process gives; what the others give is passed over."""
    parcel = [task]
    dist.broadcast_object_list(parcel, src=0, device=torch.device("cpu"))
    return parcel[0]
