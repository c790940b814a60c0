"""The ranker below the trees: its logits as columns of the stack's rows, none of them learned from the row itself.

In: rows, oldest first. Out: the rows with the ranker's columns, and the ranker of a bundle. Rows are cut in time; what
a ranker says of the rows after a cut, it learned from those before. Rows before the first cut have NaN. The ranker of
the bundle learned from all (stacked generalisation, Wolpert 1992, with time for folds).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Cascade:
    """The rows with the ranker's columns, the ranker that goes on, and how each training went."""

    rows: Rows
    model: RankerModel
    results: tuple[RankerResult, ...]


def train_cascade(
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
) -> Cascade:
    """Train the rankers and describe the rows by them.

    Args:
        rows: with all columns of `names`, oldest first.
        names: of the columns.
        vocabularies: codes of the categorical columns.
        items: the catalogue.
        vectors: of the base models, [items, d].
        epochs: most of each training; rows after the cut choose among them, and the last ranker takes their choice.
        seed: of all chance.
        device: `auto`, `cpu` or `cuda`.
        shape: of the ranker.
        checkpoints: folder for one model checkpoint per training.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    inputs = RankerInputs(names, vocabularies)
    table, learned = item_table(items, vectors), ranker_rows(rows, inputs)
    columns = np.full((len(rows), len(RANKER_COLUMNS)), np.nan, dtype=np.float32)
    ends = [*(int(np.quantile(rows.times_ms, share)) for share in CUTS), int(rows.times_ms[-1]) + 1]
    results: list[RankerResult] = []
    for place, (first, last) in enumerate(zip([*ends], [*ends[1:], ends[-1]], strict=True)):
        before = np.flatnonzero(rows.times_ms < first)
        after = np.flatnonzero((rows.times_ms >= first) & (rows.times_ms < last))
        result = train_ranker(
            learned.take(before), learned.take(after) if len(after) else None, shape, items=table,
            epochs=epochs if len(after) else results[-1].best_epoch, seed=seed, device=device,
            checkpoint=checkpoints / f"ranker-{place}.pt" if checkpoints else None,
        )  # fmt: skip
        results.append(result)
        ranker = Ranker(inputs, torch_score(result.model))
        later = rows.take(after)
        columns[after] = ranker.columns(later.matrix, later.histories, later.request, later.moments.items)
    return Cascade(replace(rows, matrix=np.hstack([rows.matrix, columns])), results[-1].model, tuple(results))
