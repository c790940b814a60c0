"""From a user state to scored candidates: retrieval → filter → rank. The same code evaluates and serves a bundle.

The two heavy steps, the ONNX user encoder and the LightGBM heads, come in as functions, so that the kernel stays
light and a test can look at everything between them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloop.bundles import Manifest
from recloop.collaborative import FoldIn
from recloop.extras import Extras
from recloop.labels import Head
from recloop.ranker import Ranker
from recloop.ranking import Context, Indices, Items, Matrix, UserState, Vocabularies, ranking_matrix
from recloop.retrieval import Candidates, Encode, Retriever

Predict = Callable[[Matrix], NDArray[np.floating]]
"""Ranking matrix [n, f] → calibrated probability [n]."""


@dataclass(frozen=True)
class Scored:
    """Candidates with one probability array per head."""

    candidates: Candidates
    heads: dict[str, NDArray[np.floating]]


class Recommender(Retriever):
    """Scores candidates of one bundle. Immutable after it is built; safe to call from several threads."""

    def __init__(
        self,
        *,
        manifest: Manifest,
        items: Items,
        vocabularies: Vocabularies,
        popularity: Mapping[str, Indices],
        fold_in: FoldIn,
        item_vectors: NDArray[np.float32],
        encode: Encode,
        heads: Mapping[Head, Predict],
        extras: Extras | None = None,
        ranker: Ranker | None = None,
    ) -> None:
        super().__init__(items=items, popularity=popularity, fold_in=fold_in, item_vectors=item_vectors, encode=encode)
        self.manifest = manifest
        self.vocabularies = vocabularies
        self.extras = extras
        self.ranker = ranker
        self._heads = heads

    def score(self, user: UserState, *, context: Context, exclude: Collection[str] = ()) -> Scored:
        """Retrieve, filter and rank for one request. An empty catalogue after filtering gives empty arrays."""
        return self.rank(user, self.retrieve(user, context=context, exclude=exclude), context=context)

    def rank(self, user: UserState, candidates: Candidates, *, context: Context) -> Scored:
        """Return every head's probability for each candidate."""
        matrix = ranking_matrix(
            user,
            self.items,
            candidates.rows,
            context=context,
            cf_scores=candidates.cf_scores,
            sequence_scores=candidates.sequence_scores,
            vocabularies=self.vocabularies,
        )
        if self.extras is not None:
            own = self.extras.columns(user, self.items, candidates.rows, context=context)
            matrix = np.hstack([matrix, own])
        if self.ranker is not None:
            request = np.zeros(len(candidates.rows), dtype=np.int64)
            histories = self.histories([(user, context)])
            matrix = np.hstack([matrix, self.ranker.columns(matrix, histories, request, candidates.rows)])
        return Scored(candidates, self.predict(matrix))

    def predict(self, matrix: Matrix) -> dict[str, NDArray[np.floating]]:
        """Return every head's probability for each row of a ranking matrix."""
        return {head: predict(matrix) for head, predict in self._heads.items()}
