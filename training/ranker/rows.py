"""What the ranker reads: rows to score, the histories they share, the catalogue's table, and how large a model is.

Numpy only. An item is its catalogue row + 1 and 0 an unknown one, as in `recloop.histories`; a code is
a small integer of a vocabulary whose 0 is "unknown". Integers may be of any width; a mini-batch makes them int64.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from recloop.histories import Codes, Histories

_PER_ROW = ("users", "candidate", "user_codes", "context_codes", "numbers", "labels")


@dataclass(frozen=True)
class RankerRows:
    """Rows to learn from or to score; row i was asked for by `request[i]`, a row of `histories`.

    `numbers` [n, f] may hold NaN; `labels` [n, heads] are 0, 1, or NaN where the row tells nothing of that head; codes
    are [n, fields]. `users` only groups rows: pairs are made and mini-batches are cut by it.
    """

    histories: Histories
    request: NDArray[np.integer]
    users: NDArray[np.integer]
    candidate: Codes
    user_codes: Codes
    context_codes: Codes
    numbers: NDArray[np.floating]
    labels: NDArray[np.floating]

    def __post_init__(self) -> None:
        lengths = {"request": len(self.request), **{name: len(getattr(self, name)) for name in _PER_ROW}}
        if len(set(lengths.values())) > 1:
            raise TrainingError(f"the parts of ranker rows differ in length: {lengths}; expected one length.")

    def __len__(self) -> int:
        return len(self.candidate)

    @property
    def per_row(self) -> tuple[NDArray[Any], ...]:
        """Return the arrays that have an element per row, all but `request`."""
        return tuple(getattr(self, name) for name in _PER_ROW)

    def take(self, rows: NDArray[np.integer]) -> RankerRows:
        """Return some rows with the histories they need, each once and trimmed to the longest of them."""
        requests, request = np.unique(self.request[rows], return_inverse=True)
        return RankerRows(self.histories.take(requests), request, *(part[rows] for part in self.per_row))


@dataclass(frozen=True)
class ItemTable:
    """What the model knows of each item without a row: row 0 is the unknown item, row i + 1 catalogue row i.

    `codes` [items + 1, fields] are static (author, first category, duration bucket); `vectors` [items + 1, d] come from
    a model trained before (CF, the retrieval transformer) and are not changed here.
    """

    codes: Codes
    vectors: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.vectors is not None and len(self.vectors) != len(self.codes):
            raise TrainingError(
                f"the item table has codes of {len(self.codes)} items and vectors of {len(self.vectors)}; expected one "
                "of each per catalogue row, and row 0 for the unknown item."
            )


class Fusion(StrEnum):
    """Where the candidate meets the history."""

    CONCAT = "concat"
    """In every row of the history, before the transformer (TransAct): the transformer runs once per candidate."""

    CROSS_ATTENTION = "cross_attention"
    """After the transformer, which runs once per request: each candidate asks the encoded history."""


@dataclass(frozen=True)
class RankerShape:
    """How large a ranker is and which of its parts are on; the `use_` switches are there for ablations.

    `window_mask_hours`: in training, actions newer than an age drawn from [0, so many hours] are hidden; 0 hides none.
    """

    n_dimensions: int = 32
    n_layers: int = 2
    n_attention_heads: int = 2
    n_newest: int = 10
    n_crosses: int = 2
    hidden: tuple[int, ...] = (128, 64)
    dropout: float = 0.2
    fusion: Fusion = Fusion.CROSS_ATTENTION
    use_sequence: bool = True
    use_transformer: bool = True
    use_crosses: bool = True
    window_mask_hours: float = 24.0


@dataclass(frozen=True)
class RankerSizes:
    """Sizes of the tables, which the data decide; a code tuple has the number of codes of each field."""

    n_items: int
    n_vector_dimensions: int
    item_codes: tuple[int, ...]
    user_codes: tuple[int, ...]
    context_codes: tuple[int, ...]
    n_numbers: int
    n_heads: int

    @classmethod
    def of(cls, rows: RankerRows, items: ItemTable) -> RankerSizes:
        """Return the sizes that hold every code of these rows."""
        return cls(
            n_items=len(items.codes) - 1,
            n_vector_dimensions=0 if items.vectors is None else items.vectors.shape[1],
            item_codes=_n_codes(items.codes),
            user_codes=_n_codes(rows.user_codes),
            context_codes=_n_codes(rows.context_codes),
            n_numbers=rows.numbers.shape[1],
            n_heads=rows.labels.shape[1],
        )


def _n_codes(codes: Codes) -> tuple[int, ...]:
    return tuple(int(most) + 1 for most in codes.max(axis=0, initial=0))
