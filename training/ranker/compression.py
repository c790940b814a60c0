"""Make a trained ranker smaller: embedding rows in int8, fewer transformer layers. For scoring and ONNX, not training.

In: a model, which stays as it is. Out: `Compressed`, a new one with the bytes of both. A ranker with int8 rows has no
file of its own: it is exported, or made again from the one that was saved, which takes no longer than reading it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from torch import Tensor, nn  # noqa: TID253 - as above

from recloop.errors import TrainingError
from training.ranker.fusion import MeanPool
from training.ranker.model import RankerModel

HIGHEST = 127
"""Of an int8 code; -128 is left out, so that a row's codes are symmetric."""


@dataclass(frozen=True)
class Compressed:
    """A smaller model, and bytes of parameters and buffers of the given one and of this."""

    model: RankerModel
    n_bytes_before: int
    n_bytes_after: int


class Int8Embedding(nn.Module):
    """A lookup in int8 rows, each with a float32 scale; code x scale is within scale / 2 of what was given.

    Row-wise as in Guan et al. (2019, arXiv 1911.02079), symmetric. torch's own quantized embedding has no ONNX form.
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        # A row of zeros has no scale; with 1 its codes are 0.
        largest = rows.abs().amax(dim=1, keepdim=True)
        scales = torch.where(largest > 0, largest / HIGHEST, 1.0)
        self.register_buffer("codes", (rows / scales).round().to(torch.int8))
        self.register_buffer("scales", scales)

    def forward(self, rows: Tensor) -> Tensor:
        """Return float32 [..., d] of row numbers [...]."""
        return self.codes[rows].to(self.scales.dtype) * self.scales[rows]


@torch.no_grad()
def quantise_tables(model: RankerModel) -> Compressed:
    """Return the model with int8 rows in place of every embedding table.

    What the model knows of an item is a sum that no request changes, of id, codes and pretrained vector: the sum is
    what becomes a row, once per item, and the parts are gone.
    """
    every_item = torch.arange(model.sizes.n_items + 1, device=model.number_mean.device)
    smaller: dict[int, nn.Module] = {id(model.items): Int8Embedding(model.items(every_item))}
    parts = set(model.items.modules())
    for table in model.modules():
        if isinstance(table, nn.Embedding) and table not in parts:
            smaller[id(table)] = Int8Embedding(table.weight)
    # What the memo has is what deepcopy takes for copied already: the large tables never are.
    return _compressed(model, copy.deepcopy(model, smaller).eval())


def prune_layers(
    model: RankerModel, n_layers: int, *, validation_loss: Callable[[RankerModel], float] | None = None
) -> Compressed:
    """Return the model with n_layers ≥ 0 of its transformer's layers: the first ones, which are missed most.

    After Sajjad et al. (2023, arXiv 2004.03844). With `validation_loss`, one layer after the other goes: the one
    without which the loss is lowest, of equal ones the last. It is called about n² / 2 times for n layers.

    Raises:
        TrainingError: the model has fewer layers; one without a transformer has 0.
    """
    kept = list(range(len(_blocks(model))))
    if not 0 <= n_layers <= len(kept):
        raise TrainingError(
            f"a ranker of {len(kept)} transformer layers cannot keep {n_layers}; ask for 0 to {len(kept)}."
        )
    while validation_loss and len(kept) > n_layers:
        shorter = [kept[:place] + kept[place + 1 :] for place in reversed(range(len(kept)))]
        losses = [validation_loss(_with_layers(model, layers)) for layers in shorter]
        kept = shorter[losses.index(min(losses))]
    return _compressed(model, _with_layers(model, kept[:n_layers]))


def _with_layers(model: RankerModel, layers: Sequence[int]) -> RankerModel:
    blocks = _blocks(model)
    left = nn.ModuleList(copy.deepcopy(blocks[layer]) for layer in layers)
    shorter = copy.deepcopy(model, {id(blocks): left})
    shorter.shape = replace(model.shape, n_layers=len(layers))
    return shorter.eval()


def _blocks(model: RankerModel) -> nn.ModuleList:
    if model.sequence is None or isinstance(model.sequence, MeanPool):
        return nn.ModuleList()
    return model.sequence.transformer.blocks


def _compressed(before: RankerModel, after: RankerModel) -> Compressed:
    return Compressed(after, _n_bytes(before), _n_bytes(after))


def _n_bytes(model: nn.Module) -> int:
    return sum(part.numel() * part.element_size() for part in (*model.parameters(), *model.buffers()))
