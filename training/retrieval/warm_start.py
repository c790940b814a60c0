"""Start a transformer from the weights of an earlier bundle, so that it need only learn what has happened since.

In: a bundle's folder. Out: its weights, and the moment up to which they had learned. Tables of items are matched by id:
a new item keeps its random start, one that left the catalogue is dropped. What else is in a bundle costs seconds to
make anew and is never started from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recloop.bundled_items import read_items
from recloop.bundles import BundleFile, verify
from recloop.errors import TrainingError
from recloop.ranking import Items

if TYPE_CHECKING:
    from training.retrieval.sequence_model import SequenceModel

LEARNED_UNTIL = "learned_until_ms"
OF_ITEMS = {"items.weight", "bias"}
"""The bundle's index has these already."""


@dataclass(frozen=True)
class WarmStart:
    """What an earlier transformer knew; `vectors` are [items, d + 1] of the items `item_ids`."""

    bundle_id: str
    learned_until_ms: int
    weights: Mapping[str, NDArray[np.float32]]
    item_ids: tuple[str, ...]
    vectors: NDArray[np.float32]

    def load_into(self, model: SequenceModel, items: Items) -> int:
        """Give a model these weights; return how many of its items had a vector.

        Raises:
            TrainingError: the weights are of another shape; nothing is changed then.
        """
        import torch

        own = {name: tuple(part.shape) for name, part in model.state_dict().items() if name not in OF_ITEMS}
        given = {name: part.shape for name, part in self.weights.items()}
        width = model.items.embedding_dim + 1
        if own != given or self.vectors.shape[1] != width:
            differing = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
            raise TrainingError(
                f"bundle {self.bundle_id} cannot be started from: its transformer differs in "
                f"{', '.join(differing) or f'the width of its items, {self.vectors.shape[1]} for {width}'}. "
                "Train without --warm-start once; later versions can start from that."
            )
        model.load_state_dict({name: torch.as_tensor(part) for name, part in self.weights.items()}, strict=False)
        pairs = [(items.index[item], row) for row, item in enumerate(self.item_ids) if item in items.index]
        here, there = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        with torch.no_grad():
            vectors = torch.as_tensor(self.vectors[there], device=model.bias.device)
            model.items.weight[here + 1] = vectors[:, :-1]
            model.bias[here] = vectors[:, -1]
        return len(here)


def save_weights(model: SequenceModel, path: Path) -> None:
    """Write all weights but the items', which the bundle has as vectors."""
    arrays = {name: part.detach().cpu().numpy() for name, part in model.state_dict().items() if name not in OF_ITEMS}
    np.savez(path, **arrays)


def read_warm_start(folder: Path) -> WarmStart:
    """Read what a bundle offers to start from.

    Raises:
        TrainingError: the bundle is from before bundles had weights.
        BundleError: it is not whole, or made for another feature contract.
    """
    manifest = verify(folder)
    learned_until_ms = manifest.metrics.get("transformer", {}).get(LEARNED_UNTIL)
    if BundleFile.TRANSFORMER not in manifest.files or learned_until_ms is None:
        raise TrainingError(
            f"bundle {manifest.bundle_id} has no {BundleFile.TRANSFORMER} to start from. Train without --warm-start "
            "once; later versions can start from that."
        )
    with np.load(folder / BundleFile.TRANSFORMER, allow_pickle=False) as arrays:
        weights = dict(arrays)
    vectors = np.load(folder / BundleFile.ITEM_VECTORS, allow_pickle=False)
    return WarmStart(manifest.bundle_id, int(learned_until_ms), weights, read_items(folder).ids, vectors)
