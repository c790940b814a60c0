"""Row-wise shards of the item id table, for a catalogue whose table outgrows one device.

Within `training.ranker.processes`, `train_ranker` leaves each process its part of the rows of `model.items.ids`, with
their gradients and AdamW moments; a lookup is summed over the processes. All else is whole on each of them, the items'
pretrained vectors too, and all go through the same mini-batches: losses are those of one process, and what is gained is
memory, not time. The retrieving transformer's table is not sharded.
"""

from __future__ import annotations

import logging

import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
import torch.distributed as dist  # noqa: TID253 - as above
from torch import Tensor, nn  # noqa: TID253 - as above
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh  # noqa: TID253 - as above
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor  # noqa: TID253 - as above

from training.ranker.model import RankerModel

LOG = logging.getLogger(__name__)


def are_joined() -> bool:
    """Tell whether this is one of several processes that train together."""
    return dist.is_available() and dist.is_initialized()


class RowShards(nn.Embedding):
    """A table of which each process has ceil(rows / processes) rows, the last one what is left.

    In place of torch's `RowwiseParallel`, which gives each process the gradient of all rows.
    """

    weight: DTensor

    def __init__(self, table: nn.Embedding, device: str) -> None:
        rows, whole = [Shard(0)], table.weight.detach()
        # Cut on the CPU: the whole table may not fit on the device.
        own = distribute_tensor(whole, _mesh("cpu"), rows, src_data_rank=None).to_local().to(device)
        weight = DTensor.from_local(own, _mesh(device), rows, shape=whole.shape, stride=whole.stride())
        super().__init__(len(whole), whole.shape[1], _weight=weight)
        self.first = dist.get_rank() * -(-len(whole) // dist.get_world_size())

    def forward(self, input: Tensor) -> Tensor:
        """Return [..., d] of rows [...]: what one process has and to the others is zeros."""
        own = self.weight.to_local()
        places = input - self.first
        here = (places >= 0) & (places < len(own))
        found = nn.functional.embedding(torch.where(here, places, 0), own) * here[..., None]
        summed: Tensor = DTensor.from_local(found, self.weight.device_mesh, [Partial()]).full_tensor()
        return summed


def shard_items(model: RankerModel, device: str) -> RankerModel:
    """Return the model, which comes on the CPU, with this process's rows of the item id table on `device`, cpu or cuda.

    Nothing changes for a process alone, or for so few rows that the last process might have none.
    """
    if are_joined() and model.items.ids.num_embeddings >= dist.get_world_size() ** 2:
        model.items.ids = RowShards(model.items.ids, device)
        own, all_rows = len(model.items.ids.weight.to_local()), model.items.ids.num_embeddings
        LOG.info("process %d holds %d of the %d rows of the item table", dist.get_rank(), own, all_rows)
    return model


def gather_items(model: RankerModel) -> RankerModel:
    """Return a copy on the CPU with the whole table, in every process; all of them have to call it.

    A model that is not sharded comes back as it is.
    """
    if not isinstance(model.items.ids, RowShards):
        return model
    with torch.device("meta"):
        whole = RankerModel(model.sizes, model.shape)
    whole.load_state_dict({name: _whole(part) for name, part in model.state_dict().items()}, assign=True)
    return whole.train(model.training)


def _whole(tensor: Tensor) -> Tensor:
    """Return a tensor on the CPU, gathered there too: the device may have no room for it."""
    if not isinstance(tensor, DTensor):
        return tensor.cpu()
    own = tensor.to_local().cpu()
    parts = DTensor.from_local(own, _mesh("cpu"), tensor.placements, shape=tensor.shape, stride=tensor.stride())
    gathered: Tensor = parts.full_tensor()
    return gathered


def _mesh(device: str) -> DeviceMesh:
    return init_device_mesh(device, (dist.get_world_size(),))
