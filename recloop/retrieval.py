"""Retrieval and filtering: from a user state to hundreds of candidates, each named by one source.

The user encoder comes in as a function, so that the kernel stays light and a test can look at everything around it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloop.collaborative import FoldIn, cf_weight
from recloop.features import EVERYONE
from recloop.histories import Histories, encode_histories
from recloop.ranking import Context, Indices, Items, UserState
from recloop.sequences import RecentActions
from recloop.training_set import PUBLISHED_MS


@dataclass(frozen=True)
class Nominations:
    """How many candidates each source nominates for one request.

    The sequence stands for what a user wants now, collaborative filtering for what they liked all along, the newest
    items for what nobody could like yet.
    """

    sequence: int = 150
    cf: int = 100
    popular: int = 80
    fresh: int = 20


NOMINATIONS = Nominations()
N_NEWEST = 200
"""So many of the newest items race for the places of fresh ones."""

Encode = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
"""(items, actions, gaps), each int64 [batch, n], n ≤ MAX_ACTIONS, newest last, 0 = padding → float32 [batch, d]."""


@dataclass(frozen=True)
class Candidates:
    """What retrieval nominated: catalogue rows, the first source that named each, and both retrieval scores."""

    rows: Indices
    sources: tuple[str, ...]
    cf_scores: NDArray[np.float64]
    sequence_scores: NDArray[np.float64]


class Retriever:
    """Nominates candidates from the base models and popularity. Immutable; safe to call from several threads."""

    def __init__(
        self,
        *,
        items: Items,
        popularity: Mapping[str, Indices],
        fold_in: FoldIn,
        item_vectors: NDArray[np.float32],
        encode: Encode,
    ) -> None:
        self.items = items
        self._popularity = popularity
        self._fold_in = fold_in
        self._item_vectors = item_vectors
        self._encode = encode
        published = np.nan_to_num(items.column(PUBLISHED_MS), nan=-np.inf)
        newest = np.argsort(-published, kind="stable")
        self._fresh = newest[np.isfinite(published[newest])][:N_NEWEST]

    def retrieve(self, user: UserState, *, context: Context, exclude: Collection[str] = ()) -> Candidates:
        """Nominate candidates from all sources; items seen, hidden or excluded are never among them."""
        cf_all, sequence_all = self.retrieval_scores(user, context=context)
        return self.nominate(user, cf_scores=cf_all, sequence_scores=sequence_all, exclude=exclude)

    def nominate(
        self,
        user: UserState,
        *,
        cf_scores: NDArray[np.float64],
        sequence_scores: NDArray[np.float64],
        exclude: Collection[str] = (),
        most: Nominations = NOMINATIONS,
    ) -> Candidates:
        """Nominate candidates, given the scores of the whole catalogue."""
        blocked = np.zeros(len(self.items), dtype=bool)
        blocked[self.items.rows([*user.seen_items, *user.recent.item_ids, *exclude])] = True
        # Where a model knows nothing of the user all items are alike to it: its best would be any.
        asked = [("sequence", sequence_scores, most.sequence), ("cf", cf_scores, most.cf)]
        nominations = [(source, _best(scores, blocked, n), n) for source, scores, n in asked if scores.any()]
        nominations += [
            ("popular", self.popular(user.segment), most.popular),
            # Few of the newest were touched: their vectors are the catalogue's word, so they race among themselves.
            ("fresh", self._fresh[np.argsort(-sequence_scores[self._fresh], kind="stable")], most.fresh),
        ]
        chosen: dict[int, str] = {}
        for source, rows, n in nominations:
            for row in rows[~blocked[rows]][:n]:
                chosen.setdefault(int(row), source)
        rows = np.fromiter(chosen, dtype=np.int64, count=len(chosen))
        return Candidates(rows, tuple(chosen.values()), cf_scores[rows], sequence_scores[rows])

    def candidates(
        self, rows: Indices, *, cf_scores: NDArray[np.float64], sequence_scores: NDArray[np.float64]
    ) -> Candidates:
        """Return given rows as candidates; the scores are those of the whole catalogue."""
        return Candidates(rows, ("given",) * len(rows), cf_scores[rows], sequence_scores[rows])

    def retrieval_scores(self, user: UserState, *, context: Context) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the CF and sequence score of every item; zeros for a user of whom the models know nothing."""
        if not len(user.recent):
            return np.zeros(len(self.items)), np.zeros(len(self.items))
        cf_scores, sequence_scores = self.batch_scores([(user, context)])
        return cf_scores[0], sequence_scores[0]

    def batch_scores(
        self, requests: Sequence[tuple[UserState, Context]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return both scores of every item for many requests at once, each [requests, items]."""
        cf_vectors, vectors = self.user_vectors(requests)
        cf_scores = (cf_vectors @ self._fold_in.factors.T).astype(np.float64)
        return cf_scores, (vectors @ self._item_vectors.T).astype(np.float64)

    def user_vectors(
        self, requests: Sequence[tuple[UserState, Context]], histories: Histories | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return each request's CF vector and sequence vector; zeros for a history without an item of the catalogue.

        The CF vector is zeros too where nothing good was done. `histories` are those of the requests, where the caller
        has them already.
        """
        histories = self.histories(requests) if histories is None else histories
        # Without the columns that are padding in every row: the encoder's cost grows with their number.
        histories = histories.take(np.arange(len(requests)))
        vectors = self._encode(*(part.astype(np.int64) for part in histories.parts[:3]))
        vectors[~(histories.items > 0).any(axis=1)] = 0.0
        return np.stack([self._cf_vector(user.recent) for user, _ in requests]), vectors

    def histories(self, requests: Sequence[tuple[UserState, Context]]) -> Histories:
        """Return what each user did before their request, as the models read it."""
        return encode_histories([(user.recent, context.time_ms) for user, context in requests], self.items)

    def pair_scores(
        self,
        requests: Sequence[tuple[UserState, Context]],
        histories: Histories,
        asked_by: Indices,
        item_ids: Sequence[str],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return both scores of each item for the request at its place in `asked_by`; NaN for an unknown item."""
        cf_vectors, vectors = self.user_vectors(requests, histories)
        rows = np.array([self.items.index.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
        scores = [
            np.where(rows < 0, np.nan, np.einsum("rd,rd->r", users[asked_by], factors[rows]))
            for users, factors in ((cf_vectors, self._fold_in.factors), (vectors, self._item_vectors))
        ]
        return scores[0], scores[1]

    def _cf_vector(self, recent: RecentActions) -> NDArray[np.float32]:
        known = [place for place, item_id in enumerate(recent.item_ids) if item_id in self.items.index]
        weights = np.array([cf_weight(recent.actions[place]) for place in known])
        return self._fold_in.vector(self.items.rows(recent.item_ids), weights)

    def popular(self, segment: str | None) -> Indices:
        """Return rows of the segment's most popular items, then everyone's, best first, without repeats."""
        own = self._popularity.get(segment or EVERYONE, np.empty(0, dtype=np.int64))
        both = np.concatenate([own, self._popularity.get(EVERYONE, np.empty(0, dtype=np.int64))])
        return both[np.sort(np.unique(both, return_index=True)[1])]


def _best(scores: NDArray[np.floating], blocked: NDArray[np.bool_], n: int) -> Indices:
    allowed = np.where(blocked, -np.inf, scores)
    n = min(n, int(np.count_nonzero(~blocked)))
    top = np.argpartition(-allowed, max(n - 1, 0))[:n]
    return top[np.argsort(-allowed[top], kind="stable")]
