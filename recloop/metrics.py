"""Offline metrics. Lists are of one request: `hits[i]` tells whether the item at rank i (0 at the top) is relevant.

Definitions follow Järvelin and Kekäläinen (2002) for ndcg@k with binary gains, and the usual ones for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the chance that a positive scores above a negative, ties counting half; NaN with one class only.

    >>> auc([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.4])  # of 4 pairs 3 are right and 1 is a tie
    0.875
    """
    positive = np.asarray(labels, dtype=bool)
    values = np.asarray(scores, dtype=np.float64)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean negative log-likelihood; probabilities are clipped to [1e-7, 1 - 1e-7]; NaN when empty."""
    truth = np.asarray(labels, dtype=np.float64)
    chance = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-7, 1 - 1e-7)
    return float(-(truth * np.log(chance) + (1 - truth) * np.log(1 - chance)).mean()) if len(truth) else float("nan")


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: ArrayLike, *, groups: Sequence[str], seed: int, n_resamples: int = 2_000, level: float = 0.95
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
