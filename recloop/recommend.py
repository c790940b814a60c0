"""From a user state to scored candidates: retrieval → filter → rank. The same code evaluates and serves a bundle.

The two heavy steps, the ONNX user encoder and the LightGBM heads, come in as functions, so that the kernel stays
light and a test can look at everything between them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.bundles import BundleFile, Manifest, read_json
from recloop.errors import BundleIncompatible
from recloop.extras import Extras
from recloop.features import EVERYONE
from recloop.histories import Histories, encode_histories
from recloop.labels import CLICK_ACTIONS, HIDE_ACTIONS, LIKE_ACTIONS, Head
from recloop.ranker import RANKER_COLUMNS, Ranker, RankerInputs, Score, pool
from recloop.ranking import (
    RANKING_FEATURES,
    Context,
    Indices,
    Items,
    Matrix,
    UserState,
    Vocabularies,
    ranking_matrix,
)
from recloop.sequences import RecentActions
from recloop.statistics import Statistics
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

Predict = Callable[[Matrix], NDArray[np.floating]]
"""Ranking matrix [n, f] → calibrated probability [n]."""


@dataclass(frozen=True)
class Candidates:
    """What retrieval nominated: catalogue rows, the first source that named each, and both retrieval scores."""

    rows: Indices
    sources: tuple[str, ...]
    cf_scores: NDArray[np.float64]
    sequence_scores: NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """Candidates with one probability array per head."""

    candidates: Candidates
    heads: dict[str, NDArray[np.floating]]


def cf_weight(action: str) -> float:
    """Return the strength of an action for collaborative filtering; 0 for one that says nothing good."""
    if action in HIDE_ACTIONS:
        return 0.0
    return 2.0 if action in LIKE_ACTIONS else 1.0 if action in CLICK_ACTIONS else 0.5


class FoldIn:
    """Turn a user's newest interactions into an ALS user vector (Hu, Koren, Volinsky 2008, eq. 4).

    So a new user gets a vector at once, and an old one a vector that knows the last click.
    """

    def __init__(self, factors: NDArray[np.float32], *, regularization: float, alpha: float) -> None:
        self.factors = factors
        self._alpha = alpha
        self._base = factors.T @ factors + regularization * np.eye(factors.shape[1], dtype=np.float32)

    def vector(self, rows: Indices, weights: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the user vector [d]; zeros when no row has a weight."""
        kept = weights > 0
        if not kept.any():
            return np.zeros(self.factors.shape[1], dtype=np.float32)
        # What was done repeatedly with one item adds up, as in the matrix that ALS learned from.
        distinct, group = np.unique(rows[kept], return_inverse=True)
        chosen = self.factors[distinct]
        confidence = self._alpha * np.bincount(group, weights=weights[kept])[:, None]
        left = self._base + chosen.T @ (confidence * chosen)
        return np.linalg.solve(left, ((1 + confidence) * chosen).sum(axis=0)).astype(np.float32)


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


def _best(scores: NDArray[np.floating], blocked: NDArray[np.bool_], n: int) -> Indices:
    allowed = np.where(blocked, -np.inf, scores)
    n = min(n, int(np.count_nonzero(~blocked)))
    top = np.argpartition(-allowed, max(n - 1, 0))[:n]
    return top[np.argsort(-allowed[top], kind="stable")]


def load_recommender(
    directory: Path,
    manifest: Manifest,
    *,
    encode: Encode,
    heads: Mapping[Head, Predict],
    score: Score | None = None,
) -> Recommender:
    """Build the recommender of a verified bundle from its files and the heavy functions.

    `heads` give the trees' raw probabilities; the ranker's word and calibration are added here, so that every reader
    adds the same. `score` is the ranker's, in a bundle that has one.

    Raises:
        BundleIncompatible: the files make other columns than the heads were trained on.
    """
    items = read_items(directory)
    popularity = {
        segment: items.rows([item_id for item_id, _ in ranked])
        for segment, ranked in read_json(directory, BundleFile.POPULARITY).items()
    }
    calibration = read_json(directory, BundleFile.CALIBRATION)
    vocabularies = Vocabularies.from_json(read_json(directory, BundleFile.VOCABULARIES))
    extras = _load_extras(directory, manifest, vocabularies)
    own = extras.names if extras else ()
    ranker = Ranker(RankerInputs((*RANKING_FEATURES, *own), vocabularies), score) if score else None
    _check_columns(manifest, (*RANKING_FEATURES, *own, *(RANKER_COLUMNS if ranker else ())))
    return Recommender(
        manifest=manifest,
        items=items,
        vocabularies=vocabularies,
        extras=extras,
        ranker=ranker,
        popularity=popularity,
        fold_in=FoldIn(
            np.load(directory / BundleFile.CF_FACTORS, allow_pickle=False),
            regularization=manifest.cf_regularization,
            alpha=manifest.cf_alpha,
        ),
        item_vectors=np.load(directory / BundleFile.ITEM_VECTORS, allow_pickle=False),
        encode=encode,
        heads={
            head: calibrated(pooled(predict, head) if ranker else predict, calibration[head])
            for head, predict in heads.items()
        },
    )


def _load_extras(directory: Path, manifest: Manifest, vocabularies: Vocabularies) -> Extras | None:
    if BundleFile.STATISTICS not in manifest.files:
        return None
    return Extras(vocabularies, Statistics.load(directory / BundleFile.STATISTICS))


def _check_columns(manifest: Manifest, found: tuple[str, ...]) -> None:
    if found != manifest.ranking_features:
        raise BundleIncompatible(
            f"bundle {manifest.bundle_id} was trained on {len(manifest.ranking_features)} columns, its files give "
            f"{len(found)} or others. Train with this code."
        )


def pooled(predict: Predict, head: Head) -> Predict:
    """Return what trees say of a matrix and what the ranker's column says, as one."""
    n = len(RANKER_COLUMNS)
    place = list(Head).index(head) - n
    return lambda matrix: pool(predict(matrix[:, :-n]), matrix[:, place])


def calibrated(predict: Predict, points: Mapping[str, list[float]]) -> Predict:
    """Return `predict` passed through a rising piecewise-linear curve given as {"x": […], "y": […]}."""
    x, y = np.asarray(points["x"]), np.asarray(points["y"])
    return lambda matrix: np.interp(predict(matrix), x, y)


def write_items(directory: Path, items: Items) -> None:
    """Write a catalogue as items.json and item_features.npy."""
    rows: dict[str, Any] = {
        "as_of_ms": items.as_of_ms,
        "ids": items.ids,
        "titles": items.titles,
        "categories": items.categories,
        "authors": items.authors,
    }
    (directory / BundleFile.ITEMS).write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    np.save(directory / BundleFile.ITEM_FEATURES, items.numbers, allow_pickle=False)


def read_items(directory: Path) -> Items:
    """Read what `write_items` wrote."""
    rows = read_json(directory, BundleFile.ITEMS)
    return Items(
        ids=tuple(rows["ids"]),
        titles=tuple(rows["titles"]),
        categories=tuple(tuple(names) for names in rows["categories"]),
        authors=tuple(rows["authors"]),
        numbers=np.load(directory / BundleFile.ITEM_FEATURES, allow_pickle=False),
        as_of_ms=int(rows["as_of_ms"]),
    )
