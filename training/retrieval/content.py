"""The content tower: vectors out of the catalogue for items that nobody, or hardly anybody, touched in the base span.

In: a training set and both base models. Out: the same models, in which such items have a vector learned from what the
catalogue says of the others (ridge regression, as the linear map of Gantner et al. 2010), so that one index holds all.
An item that n users touched keeps n / (n + k) of its own vector; k is chosen on what users came to like after the base
span. Without anything in the catalogue that tells two items apart, all keep what they have.
"""

from __future__ import annotations

import copy
import logging
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.collaborative import FoldIn
from recloop.ranking import Context, Items, UserState
from recloop.retrieval import Retriever
from recloop.tables import Column
from recloop.training_set import PUBLISHED_MS
from training.data.dataset import Ints, TrainingSet
from training.retrieval.collaborative import CollaborativeModel
from training.retrieval.sequence import SequenceResult, torch_encoder
from training.retrieval.windows import GOOD

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LOG = logging.getLogger(__name__)
Vectors = NDArray[np.float32]
Numbers = NDArray[np.float64]

MOST_CATEGORIES, MOST_AUTHORS, MOST_WORDS = 1_000, 1_000, 500
"""The ridge's matrix is as wide as all three together: a catalogue of millions costs no more than one of thousands."""

LEAST_ITEMS = 2
"""A name that fewer learned items have says nothing of another item."""

N_BINS = 8
RIDGE = 10.0
"""As if so many average items had shown that a column means nothing. From 1 to 100 it changed little on KuaiRand."""

LONGEST = 0.95
"""No content vector is longer than this quantile of the learned ones: of many columns added up, some would be."""

EVIDENCE = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
"""The k to choose from; with 0 only what nobody touched has the catalogue's vector."""

N_VALIDATION = 3_000
N_FIRST, KEPT = 100, 0.99
"""A k may lose no more than a hundredth of the targets among the first 100, about as many as either model nominates."""

PIECE = 256


@dataclass(frozen=True)
class Content:
    """Both models with their blended vectors, how many users touched each item in the base span, and k per model."""

    collaborative: CollaborativeModel
    sequence: SequenceResult
    counts: Ints
    evidence: tuple[float, float] | None
    """None: the catalogue tells nothing, and the models are those given."""


@dataclass(frozen=True)
class Targets:
    """Items that users liked when they first met them: the request before it, and the catalogue rows met until then."""

    catalogue: Items
    items: Ints
    requests: list[tuple[UserState, Context]]
    seen: list[Ints]


def train_content(
    training_set: TrainingSet, collaborative: CollaborativeModel, sequence: SequenceResult, *, seed: int
) -> Content:
    """Learn both towers on the base span and choose each k on the stack span; the models given stay as they are."""
    counts = count_users(training_set)
    design = describe_items(training_set.items, as_of_ms=training_set.split.stack_ms, learned=counts > 0)
    if not design.shape[1]:
        return Content(collaborative, sequence, counts, None)
    own = collaborative.factors, sequence.item_vectors()
    # A popular item's vector is surer, and says more of what a new one may become than one that stayed unknown.
    weights = counts / (counts + counts[counts > 0].mean())
    told = _shortened(predict_vectors(design, own[0], weights), own[0][counts > 0]), _told(design, own[1], weights)
    targets = validation_targets(training_set, seed=seed)
    users = user_vectors(collaborative, sequence, targets) if targets.seen else own
    pairs = zip(users, own, told, strict=True)
    factors_k, vectors_k = (choose_evidence(users, mine, said, counts, targets) for users, mine, said in pairs)
    LOG.info("content tower: %d columns, k %g and %g", design.shape[1], factors_k, vectors_k)
    return Content(
        replace(collaborative, factors=blend(own[0], told[0], counts, factors_k)),
        _with_vectors(sequence, blend(own[1], told[1], counts, vectors_k)),
        counts,
        (factors_k, vectors_k),
    )


def count_users(training_set: TrainingSet) -> Ints:
    """Return how many users touched each item in the base span, in whatever way."""
    log, n = training_set.interactions, len(training_set.items)
    users = np.repeat(np.arange(len(log.user_ids)), np.diff(log.starts))
    base = log.times_ms < training_set.split.stack_ms
    return np.bincount(np.unique(users[base] * n + log.items[base]) % n, minlength=n)


def describe_items(items: Items, *, as_of_ms: int, learned: NDArray[np.bool_]) -> csr_matrix:
    """Return zeros and ones [items, columns]: categories, author, words of the title, bins of duration and of age.

    A column in which the learned items do not differ is left out; so none may be left. What is unknown, or only an
    item that was not learned has, is a row of zeros.
    """
    from scipy.sparse import csr_matrix, hstack

    parts = [
        _named(items.categories, learned, MOST_CATEGORIES),
        _named([() if author is None else (author,) for author in items.authors], learned, MOST_AUTHORS),
        _named([re.findall(r"\w+", title.casefold()) for title in items.titles], learned, MOST_WORDS),
        _binned(items.column(Column.DURATION_MS), learned),
        _binned(as_of_ms - items.column(PUBLISHED_MS), learned),
    ]
    design = csr_matrix(hstack(parts))
    n_with = np.asarray(design[learned].sum(axis=0)).ravel()
    return design[:, (n_with > 0) & (n_with < learned.sum())]


def _named(names: Sequence[Collection[str]], learned: NDArray[np.bool_], most: int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    counts = Counter(name for row in np.flatnonzero(learned).tolist() for name in set(names[row]))
    often = sorted((-n, name) for name, n in counts.items() if n >= LEAST_ITEMS)[:most]
    places = {name: place for place, (_, name) in enumerate(often)}
    found = [(row, places[name]) for row, own in enumerate(names) for name in sorted(set(own)) if name in places]
    rows, columns = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(places)))


def _binned(values: Numbers, learned: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return one column per bin of about as many learned items; zeros where the value is NaN."""
    known = values[learned & np.isfinite(values)]
    if not len(known):
        return np.zeros((len(values), 0))
    edges = np.unique(np.quantile(known, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    bins = np.where(np.isfinite(values), np.searchsorted(edges, values, side="right"), -1)
    return np.asarray(bins[:, None] == np.arange(len(edges) + 1), dtype=np.float64)


def predict_vectors(design: csr_matrix, vectors: Vectors, weights: Numbers) -> Vectors:
    """Return what the design says of every item's vector; an item counts in learning by its weight, 0 for not at all.

    An item whose row is empty gets the vector at which the columns' effects are nil, about the learned items' mean.
    """
    from scipy.sparse import diags, hstack

    wide = hstack([np.ones((len(vectors), 1)), design]).tocsr()
    scaled = weights * np.count_nonzero(weights) / weights.sum()
    gram = (wide.T @ diags(scaled) @ wide).toarray()
    gram[np.diag_indices_from(gram)] += np.r_[1e-9, np.full(design.shape[1], RIDGE)]
    effects = np.linalg.solve(gram, wide.T @ (scaled[:, None] * vectors.astype(np.float64)))
    return np.asarray(wide @ effects, dtype=np.float32)


def _told(design: csr_matrix, vectors: Vectors, weights: Numbers) -> Vectors:
    """Return vectors whose last column is a bias: that and the rest are each kept within what was learned."""
    told, learned = predict_vectors(design, vectors, weights), vectors[weights > 0]
    highest = np.quantile(learned[:, -1], LONGEST)
    return np.column_stack([_shortened(told[:, :-1], learned[:, :-1]), np.minimum(told[:, -1], highest)])


def _shortened(vectors: Vectors, learned: Vectors) -> Vectors:
    longest = np.quantile(np.linalg.norm(learned, axis=1), LONGEST)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors * (longest / np.maximum(norms, max(longest, 1e-12))), dtype=np.float32)


def blend(own: Vectors, told: Vectors, counts: Ints, evidence: float) -> Vectors:
    """Return n / (n + k) of an item's own vector and the rest of what the catalogue tells; of no user, none of its own.

    >>> blend(np.array([[1.0], [1.0]]), np.array([[3.0], [3.0]]), np.array([0, 6]), 2.0).ravel().tolist()
    [3.0, 1.5]
    """
    share = np.divide(counts, counts + evidence, out=np.zeros(len(counts)), where=counts > 0)[:, None]
    # What has all of its own is left to the last bit.
    return np.where(share == 1, own, share * own + (1 - share) * told).astype(np.float32)


def first_likes(training_set: TrainingSet, *, start_ms: int, end_ms: int) -> Ints:
    """Return rows of the log in `[start, end)`, one per user and item: first met then, and liked in that moment."""
    log, n = training_set.interactions, len(training_set.items)
    users = np.repeat(np.arange(len(log.user_ids)), np.diff(log.starts))
    pairs, group = np.unique(users * n + log.items, return_inverse=True)
    met = np.full(len(pairs), np.iinfo(np.int64).max)
    np.minimum.at(met, group, log.times_ms)
    liked = GOOD.take(log.actions) & (log.times_ms == met[group])
    rows = np.flatnonzero(liked & (log.times_ms >= start_ms) & (log.times_ms < end_ms))
    return np.sort(rows[np.unique(group[rows], return_index=True)[1]])


def make_targets(training_set: TrainingSet, user_ids: Sequence[str], items: Ints, times_ms: Ints) -> Targets:
    """Return items as targets of their users just before they met them."""
    log = training_set.interactions
    moments = list(zip(user_ids, times_ms.tolist(), strict=True))
    recent = [log.recent(user, before_ms=time, items=training_set.items) for user, time in moments]
    requests = [(UserState(user, recent=own), Context(time)) for (user, time), own in zip(moments, recent, strict=True)]
    seen = [np.unique(log.items[log.span(user, before_ms=time)]) for user, time in moments]
    return Targets(training_set.items, items, requests, seen)


def validation_targets(training_set: TrainingSet, *, seed: int) -> Targets:
    """Draw targets of the stack span, which no base model saw."""
    split, log = training_set.split, training_set.interactions
    rows = first_likes(training_set, start_ms=split.stack_ms, end_ms=split.holdout_ms)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:N_VALIDATION])
    owners = np.searchsorted(log.starts, rows, side="right") - 1
    return make_targets(training_set, [log.user_ids[user] for user in owners], log.items[rows], log.times_ms[rows])


def user_vectors(
    collaborative: CollaborativeModel, sequence: SequenceResult, targets: Targets
) -> tuple[Vectors, Vectors]:
    """Return each request's user vector of either model, as serving makes them."""
    retriever = Retriever(
        items=targets.catalogue,
        popularity={},
        fold_in=FoldIn(collaborative.factors, regularization=collaborative.regularization, alpha=collaborative.alpha),
        item_vectors=sequence.item_vectors(),
        encode=torch_encoder(sequence.model),
    )
    return retriever.user_vectors(targets.requests)


def target_places(users: Vectors, vectors: Vectors, targets: Targets) -> Numbers:
    """Return how many items score above each target, of those its user had not met; of ties, half do."""
    places = np.empty(len(targets.items))
    for first in range(0, len(places), PIECE):
        part = range(first, min(first + PIECE, len(places)))
        wanted = targets.items[part.start : part.stop]
        scores = users[part.start : part.stop] @ vectors.T
        own = scores[np.arange(len(part)), wanted][:, None].copy()
        for row, place in enumerate(part):
            scores[row, targets.seen[place]] = -np.inf
        ties = (scores == own).sum(axis=1) - 1
        places[part.start : part.stop] = (scores > own).sum(axis=1) + ties / 2
    return places


def choose_evidence(users: Vectors, own: Vectors, told: Vectors, counts: Ints, targets: Targets) -> float:
    """Return the k with which targets stand highest, by the mean logarithm of their place; 0 without any target.

    All targets count, not only those of little-known items: these rise with k at the cost of others. For the same
    reason a k with which fewer targets would be nominated is none to choose.
    """
    if not targets.seen:
        return EVIDENCE[0]
    places = [target_places(users, blend(own, told, counts, k), targets) for k in EVIDENCE]
    found = [np.count_nonzero(each < N_FIRST) for each in places]
    losses = [np.log1p(each).mean() if n >= KEPT * found[0] else np.inf for each, n in zip(places, found, strict=True)]
    return EVIDENCE[int(np.argmin(losses))]


def _with_vectors(sequence: SequenceResult, vectors: Vectors) -> SequenceResult:
    """Return a model that scores by other item vectors, and reads them in histories too."""
    import torch

    model: Any = copy.deepcopy(sequence.model)
    with torch.no_grad():
        model.items.weight[1:] = torch.as_tensor(vectors[:, :-1])
        model.bias[:] = torch.as_tensor(vectors[:, -1])
    return replace(sequence, model=model)
