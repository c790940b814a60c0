"""Offline metrics of slates; those of heads are in `recloop.head_metrics`.

Lists are of one request: `hits[i]` tells whether the item at rank i (0 at the top) is relevant. What is shown is judged
over all requests together, each list an array of catalogue rows.
Definitions follow Järvelin and Kekäläinen (2002) for ndcg@k with binary gains, and the usual ones for the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

N_RESAMPLES, FEW_RESAMPLES, MANY_RESAMPLES = 1_000, 300, 2_000
"""How often groups are drawn anew for an interval: of a head; where many intervals are made while somebody waits; of
means, which cost little, and of what lies far out in the tails."""


def precision_at_k(hits: Sequence[bool], k: int) -> float:
    """Return the share of the first k places that are relevant; a shorter list counts its missing places as misses.

    >>> precision_at_k([True, False, True], 2)
    0.5
    """
    return sum(hits[:k]) / k


def recall_at_k(hits: Sequence[bool], k: int, *, n_relevant: int) -> float:
    """Return the share of the relevant items that are among the first k; 0 when there are none.

    >>> recall_at_k([True, False, True], 3, n_relevant=4)
    0.5
    """
    return sum(hits[:k]) / n_relevant if n_relevant else 0.0


def average_precision_at_k(hits: Sequence[bool], k: int, *, n_relevant: int) -> float:
    """Return precision averaged over the relevant ranks, over min(k, n_relevant): its mean over requests is map@k.

    >>> average_precision_at_k([True, False, True], 3, n_relevant=2)  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    best = min(k, n_relevant)
    found = np.flatnonzero(hits[:k])
    return float(sum((order + 1) / (rank + 1) for order, rank in enumerate(found)) / best) if best else 0.0


def ndcg_at_k(hits: Sequence[bool], k: int, *, n_relevant: int) -> float:
    """Return discounted gain over that of an ideal list of n_relevant items; 0 when nothing is relevant.

    >>> ndcg_at_k([False, True], 2, n_relevant=1)  # 1 / log2(3)
    0.6309297535714575
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = discounts[:n_relevant].sum()
    gained = discounts[: len(hits[:k])][np.asarray(hits[:k], dtype=bool)].sum()
    return float(gained / ideal) if n_relevant else 0.0


def intra_list_diversity(slates: Sequence[NDArray[np.int64]], categories: Sequence[Collection[str]]) -> float:
    """Return how unlike the items of a list are, averaged over the lists: 0 (same categories) to 1 (none in common).

    Of a list it is the mean over its pairs of 1 - Jaccard similarity of their categories: the intra-list similarity of
    Ziegler et al. (2005), turned round and divided by the number of pairs. `categories[row]` are those of catalogue row
    `row`. Two items without any count as alike, so that a poor catalogue does not look diverse. A list of fewer than
    two items is left out; NaN when all are.

    >>> intra_list_diversity([np.array([0, 1, 2])], [["a", "b"], ["b"], ["c"]])  # (1/2 + 1 + 1) / 3
    0.8333333333333334
    """
    means = []
    for slate in slates:
        pairs = list(combinations([frozenset(categories[row]) for row in slate], 2))
        if pairs:
            means.append(sum(len(one ^ other) / (len(one | other) or 1) for one, other in pairs) / len(pairs))
    return float(np.mean(means)) if means else float("nan")


def catalogue_coverage(slates: Sequence[NDArray[np.int64]], *, n_items: int) -> float:
    """Return the share of the catalogue's items that at least one list shows (Ge et al. 2010); 0 without lists.

    >>> catalogue_coverage([np.array([0, 1]), np.array([1, 2])], n_items=4)
    0.75
    """
    return len(set().union(*(slate.tolist() for slate in slates))) / n_items


def novelty(slates: Sequence[NDArray[np.int64]], shares: NDArray[np.float64]) -> float:
    """Return -log2 of an item's share of all interactions, averaged over all places shown; NaN when none is.

    The free-discovery model of Vargas and Castells (2011): the bits of surprise in meeting the item by chance.
    `shares[row]` is that of catalogue row `row`; smooth it, for an item without any would be infinitely novel.

    >>> novelty([np.array([0, 1]), np.array([0])], np.array([1 / 2, 1 / 4, 1 / 4]))  # (1 + 2 + 1) / 3
    1.3333333333333333
    """
    shown = np.concatenate(slates) if len(slates) else np.empty(0, dtype=np.int64)
    return float(-np.log2(shares[shown]).mean()) if len(shown) else float("nan")


@dataclass(frozen=True)
class Interval:
    """A mean, or what a metric gives on all rows, with the bounds of its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: ArrayLike, *, groups: Sequence[str], seed: int, n_resamples: int = MANY_RESAMPLES, level: float = 0.95
) -> Interval:
    """Return the mean of `values` and its percentile interval, resampling groups (users) with replacement.

    Requests of one user are not independent, so whole users are drawn (Efron and Tibshirani 1993, ch. 8). For a paired
    comparison pass per-request differences. Empty input gives NaN three times.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        return Interval(float("nan"), float("nan"), float("nan"))
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.asarray(np.bincount(codes, weights=data), dtype=np.float64)
    counts = np.asarray(np.bincount(codes), dtype=np.int64)
    means = _resampled_means(sums, counts, np.random.default_rng(seed), n_resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(data.mean()), float(low), float(high))


def _resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.int64], generator: np.random.Generator, n_resamples: int
) -> NDArray[np.float64]:
    # Multinomial weights instead of index arrays: one [resamples, groups] matrix product.
    n = len(sums)
    weights = generator.multinomial(n, np.full(n, 1 / n), size=n_resamples)
    means: NDArray[np.float64] = (weights @ sums) / (weights @ counts)
    return means
