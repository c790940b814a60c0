"""The ranker below the trees: its logits as columns of the stack's rows, none of them learned from the row itself.

In: rows, oldest first. Out: the rows with the ranker's columns, and the ranker of a bundle. Rows are cut in time; what
a ranker says of the rows after a cut, it learned from those before. Rows before the first cut have NaN. The ranker of
the bundle learned from all (stacked generalisation, Wolpert 1992, with time for folds).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recloop.ranker import RANKER_COLUMNS, Ranker, RankerInputs
from recloop.ranking import Items, Vocabularies
from training.ranker.rows import RankerShape
from training.ranker.scoring import torch_score
from training.ranker.trainer import RankerResult, train_ranker
from training.stacking.ranker_rows import item_table, ranker_rows
from training.stacking.rows import Rows

if TYPE_CHECKING:
    from training.ranker.model import RankerModel

LOG = logging.getLogger(__name__)
SERVED_SHAPE = RankerShape()
CUTS = (0.4, 0.7)
"""Shares of the rows; each cut costs a training on what is before it."""


class Cascade:
    """Rankers over the rows of one stack: asked for the rows' columns first, then for the last if it is worth it."""

    def __init__(
        self,
        rows: Rows,
        *,
        names: Sequence[str],
        vocabularies: Vocabularies,
        items: Items,
        vectors: NDArray[np.float32],
        epochs: int,
        seed: int,
        device: str,
        shape: RankerShape = SERVED_SHAPE,
        checkpoints: Path | None = None,
    ) -> None:
        """Take the rows apart.

        Args:
            rows: with all columns of `names`, oldest first.
            names: of the columns.
            vocabularies: codes of the categorical columns.
            items: the catalogue.
            vectors: of the base models, [items, d].
            epochs: most of each training; the rows after a cut choose among them, and the last ranker takes their
                choice.
            seed: of all chance.
            device: `auto`, `cpu` or `cuda`.
            shape: of the ranker.
            checkpoints: folder for one model checkpoint per training.
        """
        self._rows, self._inputs = rows, RankerInputs(names, vocabularies)
        self._learned, self._table = ranker_rows(rows, self._inputs), item_table(items, vectors)
        self._shape, self._epochs, self._seed, self._device = shape, epochs, seed, device
        self._checkpoints = checkpoints
        self.results: list[RankerResult] = []

    def describe(self) -> Rows:
        """Return the rows with the ranker's columns, from one training per cut.

        Raises:
            TrainingError: the loss stopped being a number.
        """
        columns = np.full((len(self._rows), len(RANKER_COLUMNS)), np.nan, dtype=np.float32)
        places = [int(np.searchsorted(self._rows.times_ms, self._cut(share))) for share in CUTS]
        for first, last in pairwise([*places, len(self._rows)]):
            result = self._train(first, last, self._epochs)
            self.results.append(result)
            later, ranker = self._rows.take(slice(first, last)), Ranker(self._inputs, torch_score(result.model))
            columns[first:last] = ranker.columns(later.matrix, later.histories, later.request, later.moments.items)
        return replace(self._rows, matrix=np.hstack([self._rows.matrix, columns]))

    def train_last(self) -> RankerModel:
        """Return the ranker that learned from all rows, for as many epochs as did best after the last cut.

        Raises:
            TrainingError: the loss stopped being a number.
        """
        n = len(self._rows)
        self.results.append(self._train(n, n, self.results[-1].best_epoch if self.results else self._epochs))
        return self.results[-1].model

    def _cut(self, share: float) -> float:
        return float(np.quantile(self._rows.times_ms, share))

    def _train(self, first: int, last: int, epochs: int) -> RankerResult:
        """Train on the rows before `first` and validate on those from there to `last`, if there are any."""
        file = None if self._checkpoints is None else self._checkpoints / f"ranker-{len(self.results)}.pt"
        return train_ranker(
            self._learned.take(np.arange(first)), self._learned.take(np.arange(first, last)) if first < last else None,
            self._shape, items=self._table, epochs=epochs, seed=self._seed, device=self._device, checkpoint=file,
        )  # fmt: skip
