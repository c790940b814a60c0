"""Judge a recommender's slates: against popularity, on the same requests, by what each user came to like afterwards.

In: a recommender and a training set whose holdout it did not learn from. Out: ndcg@10 per request, and the means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from recloop.metrics import (
    average_precision_at_k,
    bootstrap_interval,
    catalogue_coverage,
    intra_list_diversity,
    ndcg_at_k,
    novelty,
    precision_at_k,
    recall_at_k,
)
from recloop.ranking import Items
from recloop.recommender import Recommender
from recloop.settings import Settings
from recloop.slates import value
from training.data.dataset import Ints, TrainingSet
from training.data.requests import Request, sample_requests
from training.judging.slices import Masks, request_masks

K = 10
N_USERS, PER_USER = 600, 5
BATCH = 64
MODEL, POPULARITY, BY_SEGMENT = "model", "popularity", "popularity_by_segment"


class NoRequests(TrainingError):
    """A span has no moment after which a user liked something new: no slate can be judged by it."""


@dataclass(frozen=True)
class Slates:
    """What was measured. `ndcg` has per-request ndcg@10 of the model and of each baseline, in the order of `user_ids`.

    `slices` says which of the requests are of one kind of users or of one part of the day.

    The requests come from the training set and the seed alone: two bundles are judged on the same ones.
    """

    user_ids: list[str]
    ndcg: dict[str, NDArray[np.float64]]
    offline: dict[str, Any]
    slices: Masks

    @classmethod
    def nothing(cls, note: str) -> Slates:
        """Return what is measured where there are no requests: a note that says why."""
        return cls([], {}, {"note": note}, {})


def judge_slates(recommender: Recommender, training_set: TrainingSet, *, settings: Settings) -> Slates:
    """Show the model's slates and popularity's for requests of the holdout, and measure both.

    Raises:
        NoRequests: no user of the holdout came to like anything new.
    """
    requests = judging_requests(training_set, seed=settings.seed)
    slates = {MODEL: model_slates(recommender, training_set, requests, settings.value_weights)}
    known = [in_bundle(recommender, training_set, request) for request in requests]
    slates[POPULARITY] = [_popular(recommender, request, None) for request in requests]
    slates[BY_SEGMENT] = [_popular(recommender, request, request.user.segment) for request in requests]
    users = [request.user.user_id for request in requests]
    popularity = item_shares(recommender, training_set)
    ndcg: dict[str, NDArray[np.float64]] = {}
    offline: dict[str, Any] = {}
    for name, lists in slates.items():
        ndcg[name], offline[name] = measure(lists, known, popularity, recommender.items)
    difference = bootstrap_interval(ndcg[MODEL] - ndcg[POPULARITY], groups=users, seed=settings.seed)
    offline["ndcg_difference_interval"] = [difference.low, difference.high]
    offline["n_requests"], offline["n_users"] = len(requests), len(set(users))
    return Slates(users, ndcg, offline, request_masks(training_set, requests, before_ms=training_set.split.holdout_ms))


def judging_requests(training_set: TrainingSet, *, seed: int) -> list[Request]:
    """Draw the requests of the holdout that slates are judged on; they depend on the set and the seed alone.

    Raises:
        NoRequests: no user of the holdout came to like anything new.
    """
    split = training_set.split
    requests = sample_requests(
        training_set, start_ms=split.holdout_ms, end_ms=split.end_ms, n_users=N_USERS, per_user=PER_USER, seed=seed
    )
    if not requests:
        raise NoRequests(
            "the holdout has no moment after which a user liked something new; no slate can be judged. "
            "Train until a later time, or on a longer span."
        )
    return requests


def model_slates(
    recommender: Recommender, training_set: TrainingSet, requests: list[Request], weights: dict[str, float]
) -> list[Ints]:
    """Return the model's first K catalogue rows per request, exploration off."""
    slates = []
    for first in range(0, len(requests), BATCH):
        group = requests[first : first + BATCH]
        cf, sequence = recommender.batch_scores([(request.user, request.context) for request in group])
        for place, request in enumerate(group):
            nominated = recommender.nominate(request.user, cf_scores=cf[place], sequence_scores=sequence[place])
            scored = recommender.rank(request.user, nominated, context=request.context)
            order = np.argsort(-value(scored.heads, weights), kind="stable")[:K]
            slates.append(nominated.rows[order])
    return slates


def in_bundle(recommender: Recommender, training_set: TrainingSet, request: Request) -> Ints:
    """Return the relevant items as rows of the bundle's catalogue; one that it lacks counts as missed."""
    ids = [training_set.items.ids[row] for row in request.relevant]
    return np.array([recommender.items.index.get(item_id, -1) for item_id in ids], dtype=np.int64)


def _popular(recommender: Recommender, request: Request, segment: str | None) -> Ints:
    rows = recommender.popular(segment)
    seen = recommender.items.rows([*request.user.seen_items])
    return rows[~np.isin(rows, seen)][:K]


def item_shares(recommender: Recommender, training_set: TrainingSet) -> NDArray[np.float64]:
    """Return each item's smoothed share of all interactions before the holdout."""
    log = training_set.interactions
    counts = np.ones(len(recommender.items))
    before = np.bincount(log.items[log.times_ms < training_set.split.holdout_ms], minlength=len(training_set.items))
    for item_id, count in zip(training_set.items.ids, before, strict=True):
        if item_id in recommender.items.index:
            counts[recommender.items.index[item_id]] += count
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def measure(
    slates: list[Ints], relevant: list[Ints], shares: NDArray[np.float64], items: Items
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Return ndcg@K of each slate, and the means of all metrics; everything in rows of the bundle's catalogue."""
    hits = [np.isin(slate, wanted).tolist() for slate, wanted in zip(slates, relevant, strict=True)]
    counts = [len(wanted) for wanted in relevant]
    pairs = list(zip(hits, counts, strict=True))
    ndcg = np.array([ndcg_at_k(hit, K, n_relevant=n) for hit, n in pairs])
    return ndcg, {
        f"ndcg_at_{K}": float(ndcg.mean()),
        f"map_at_{K}": float(np.mean([average_precision_at_k(hit, K, n_relevant=n) for hit, n in pairs])),
        f"precision_at_{K}": float(np.mean([precision_at_k(hit, K) for hit in hits])),
        f"recall_at_{K}": float(np.mean([recall_at_k(hit, K, n_relevant=n) for hit, n in pairs])),
        f"coverage_at_{K}": catalogue_coverage(slates, n_items=len(items)),
        f"novelty_at_{K}": novelty(slates, shares),
        f"diversity_at_{K}": intra_list_diversity(slates, items.categories),
    }
