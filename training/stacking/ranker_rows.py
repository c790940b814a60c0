"""What the ranker learns from: the stack's rows taken apart, and the catalogue with the base models' item vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recloop.labels import Head
from recloop.ranker import RankerInputs
from recloop.ranking import Items
from recloop.statistics import Hashes, Part, item_parts
from training.ranker.rows import ItemTable, RankerRows
from training.stacking.rows import Rows

ITEM_PARTS = (Part.AUTHOR, Part.CATEGORY, Part.DURATION)


def ranker_rows(rows: Rows, inputs: RankerInputs) -> RankerRows:
    """Return rows as the ranker reads them.

    A user's slates and exposures are two groups: pairs across them would compare outcomes of different kinds.
    """
    user_codes, context_codes, numbers = inputs.split(rows.matrix)
    _, users = np.unique(rows.user_ids.astype(str), return_inverse=True)
    return RankerRows(
        rows.histories,
        rows.request,
        2 * users + rows.shown,
        rows.moments.items + 1,
        user_codes,
        context_codes,
        numbers,
        np.column_stack([rows.labels[head] for head in Head]).astype(np.float32),
    )


def item_table(items: Items, vectors: NDArray[np.float32]) -> ItemTable:
    """Return the catalogue as the ranker reads it; `vectors` are of the base models, [items, d].

    What one item alone has is unknown: its own embedding says as much.
    """
    known = item_parts(items)
    codes = np.column_stack([_codes(known[part]) for part in ITEM_PARTS])
    return ItemTable(np.vstack([np.zeros_like(codes[:1]), codes]), np.vstack([np.zeros_like(vectors[:1]), vectors]))


def _codes(hashes: Hashes) -> NDArray[np.int64]:
    """Number values from 1, the frequent first; 0 for what occurs once."""
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(1, len(counts) + 1)
    return np.where(counts > 1, rank, 0)[inverse]
