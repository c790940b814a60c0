"""A recommender that knows the pattern of the synthetic log without having been trained."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recloop.collaborative import FoldIn
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES, Items, Matrix, Vocabularies
from recloop.recommender import Recommender
from tests.training.synthetic import KINDS

LACKED = "i00"


def kind_recommender(whole: Items) -> Recommender:
    """Return one that lacks an item of the catalogue and likes for each user the kind that most was done with."""
    kept = np.array([row for row, item_id in enumerate(whole.ids) if item_id != LACKED])[::-1]
    items = Items(
        *(tuple(column[row] for row in kept) for column in (whole.ids, whole.titles, whole.categories, whole.authors)),
        whole.numbers[kept],
        whole.as_of_ms,
    )
    kinds = np.array([int(item_id[1:]) % len(KINDS) for item_id in items.ids])
    ranks = np.linspace(0.5, 1, len(items), dtype=np.float32)

    def encode(rows: NDArray[np.int64], actions: NDArray[np.int64], gaps: NDArray[np.int64]) -> NDArray[np.float32]:
        one_hot = np.vstack([np.zeros(len(KINDS)), np.eye(len(KINDS))[kinds]])
        return one_hot[rows].sum(axis=1).astype(np.float32)

    def click(matrix: Matrix) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-matrix[:, RANKING_FEATURES.index("sequence_score")].astype(np.float64)))

    return Recommender(
        manifest=cast(Any, None),
        items=items,
        vocabularies=Vocabularies({}),
        popularity={"all": np.arange(len(items))[::-1], "group 1": np.arange(40)},
        fold_in=FoldIn(np.zeros((len(items), 2), dtype=np.float32), regularization=1.0, alpha=1.0),
        item_vectors=np.eye(len(KINDS), dtype=np.float32)[kinds] * ranks[:, None],
        encode=encode,
        heads={Head.CLICK: click},
    )
