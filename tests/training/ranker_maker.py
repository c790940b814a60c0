"""Small rankers and rows for the tests of training.ranker_*: all lengths of history, codes, NaN and unknown items."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.histories import GAP_BUCKETS
from recloop.sequences import ACTION_CODES
from training.ranker.rows import Histories, ItemTable, RankerRows, RankerShape

if TYPE_CHECKING:
    import torch

    from training.ranker.model import RankerModel

PARTS = ("items", "actions", "gaps", "dwells")
N_ITEMS, N_HEADS, LENGTH = 30, 3, 14
SMALL = RankerShape(n_dimensions=8, hidden=(16, 8), n_newest=4, dropout=0.0)


def make_items(*, vectors: bool = True) -> ItemTable:
    """Return a catalogue of N_ITEMS."""
    generator = np.random.default_rng(1)
    codes = generator.integers(0, 5, (N_ITEMS + 1, 2))
    made = generator.normal(size=(N_ITEMS + 1, 6)).astype(np.float32)
    made[0] = 0.0
    return ItemTable(codes, made if vectors else None)


def make_rows(n: int = 60, *, n_requests: int = 20, seed: int = 0) -> RankerRows:
    """Return rows of `n_requests` requests of half as many users; request 0 has no history, request 1 a full one."""
    generator = np.random.default_rng(seed)
    lengths = np.r_[0, LENGTH, generator.integers(0, LENGTH + 1, n_requests)][:n_requests]
    there = np.arange(LENGTH)[None] >= LENGTH - lengths[:, None]
    highest = (N_ITEMS + 1, len(ACTION_CODES) + 1, GAP_BUCKETS, GAP_BUCKETS)
    histories = Histories(*(generator.integers(1, most, there.shape) * there for most in highest))
    request = np.r_[np.arange(n_requests), generator.integers(0, n_requests, max(0, n - n_requests))][:n]
    numbers = generator.normal(3.0, 5.0, (n, 4)).astype(np.float32)
    numbers[generator.random((n, 4)) < 0.1] = np.nan
    labels = generator.integers(0, 2, (n, N_HEADS)).astype(np.float32)
    labels[generator.random((n, N_HEADS)) < 0.1] = np.nan
    return RankerRows(
        histories=histories,
        request=request,
        users=request // 2,
        candidate=np.r_[0, generator.integers(1, N_ITEMS + 1, n - 1)],
        user_codes=generator.integers(0, 4, (n, 2)),
        context_codes=generator.integers(0, 3, (n, 2)),
        numbers=numbers,
        labels=labels,
    )


def make_model(shape: RankerShape = SMALL, *, seed: int = 0, rows: RankerRows | None = None) -> RankerModel:
    """Return an untrained model whose tables are large enough to tell inputs apart."""
    import torch

    from training.ranker.model import new_ranker

    torch.manual_seed(seed)
    model = new_ranker(rows or make_rows(), make_items(), shape)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.15)
    return model.eval()


def logits_of(model: RankerModel, rows: RankerRows, youngest: torch.Tensor | None = None) -> NDArray[np.float32]:
    """Return what the model says of rows, as numpy."""
    import torch

    from training.ranker.resident_rows import ResidentRows

    batch = ResidentRows(rows, "cpu").take(np.arange(len(rows)))
    with torch.no_grad():
        logits: NDArray[np.float32] = model(*batch.histories, *batch.rows, youngest).numpy()
    return logits


def with_histories(rows: RankerRows, **changed: Any) -> RankerRows:
    """Return the rows with other arrays in their histories."""
    return dataclasses.replace(rows, histories=dataclasses.replace(rows.histories, **changed))
