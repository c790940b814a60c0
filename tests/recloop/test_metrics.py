"""Offline metrics against sums written out by hand, and those that scikit-learn has against it."""

from __future__ import annotations

import math
from math import log2

import numpy as np
import pytest
import sklearn.metrics

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


@pytest.mark.parametrize(
    ("hits", "k", "n_relevant", "expected"),
    [
        # gains at ranks 1 and 3: 1/log2(2) and 1/log2(4); the ideal list has ranks 1 and 2
        pytest.param([1, 0, 1], 3, 2, (1 / 1 + 1 / 2) / (1 / 1 + 1 / log2(3)), id="hits_first_and_last"),
        pytest.param([0, 0, 1], 2, 1, 0.0, id="hit_below_k"),
        pytest.param([1, 1], 2, 9, 1.0, id="more_relevant_than_places"),
        pytest.param([1], 10, 1, 1.0, id="short_list"),
        pytest.param([], 10, 3, 0.0, id="empty_list"),
        pytest.param([0], 10, 0, 0.0, id="nothing_relevant"),
    ],
)
def test_ndcg(hits: list[bool], k: int, n_relevant: int, expected: float) -> None:
    assert ndcg_at_k(hits, k, n_relevant=n_relevant) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 10, 40])
def test_lists_are_measured_as_by_scikit_learn(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    relevant, scores = generator.random(40) < 0.2, generator.permutation(40) * 1.0
    assert relevant.any()
    hits, n_relevant = relevant[np.argsort(-scores)].tolist(), int(relevant.sum())
    shown = scores >= 40 - k
    assert ndcg_at_k(hits, k, n_relevant=n_relevant) == pytest.approx(
        sklearn.metrics.ndcg_score([relevant], [scores], k=k)
    )
    assert precision_at_k(hits, k) == pytest.approx(sklearn.metrics.precision_score(relevant, shown))
    assert recall_at_k(hits, k, n_relevant=n_relevant) == pytest.approx(sklearn.metrics.recall_score(relevant, shown))
    # of the whole list; scikit-learn's has no k
    whole = sklearn.metrics.average_precision_score(relevant, scores)
    assert average_precision_at_k(hits, len(hits), n_relevant=n_relevant) == pytest.approx(whole)


def test_average_precision_is_over_the_reachable_relevant_items() -> None:
    # precision at the hits of ranks 2 and 3: 1/2 and 2/3; min(k=3, 5 relevant) = 3
    assert average_precision_at_k([False, True, True], 3, n_relevant=5) == pytest.approx((1 / 2 + 2 / 3) / 3)


def test_precision_counts_missing_places_as_misses() -> None:
    assert precision_at_k([True], 10) == pytest.approx(1 / 10)


def test_recall_is_over_all_relevant_items() -> None:
    assert recall_at_k([True, False, True], 2, n_relevant=4) == pytest.approx(1 / 4)


def test_diversity_is_a_mean_over_pairs_then_over_lists() -> None:
    categories = [("a", "b"), ("b",), ("c",), ("b", "a")]
    slates = [np.array([0, 1, 2]), np.array([0, 3]), np.array([2])]
    # pairs of the first: {a,b}{b} 1 - 1/2, {a,b}{c} 1, {b}{c} 1; the second's are the same set; the third has no pair
    assert intra_list_diversity(slates, categories) == pytest.approx(((1 / 2 + 1 + 1) / 3 + 0) / 2)


def test_items_without_categories_are_alike_and_unlike_all_others() -> None:
    assert intra_list_diversity([np.array([0, 1, 2])], [(), (), ("a",)]) == pytest.approx((0 + 1 + 1) / 3)


def test_diversity_without_pairs_is_unknown() -> None:
    assert math.isnan(intra_list_diversity([np.array([0])], [("a",)]))
    assert math.isnan(intra_list_diversity([], [("a",)]))


def test_coverage_counts_an_item_once() -> None:
    assert catalogue_coverage([np.array([0, 4]), np.array([4, 0, 2])], n_items=8) == pytest.approx(3 / 8)
    assert catalogue_coverage([], n_items=8) == 0.0


def test_novelty_is_over_all_places() -> None:
    shares = np.array([1 / 2, 1 / 8, 3 / 8])
    slates = [np.array([0, 1]), np.array([1])]
    # 1 bit and 3 bits in the first list, 3 in the second: no mean of means, which would be (2 + 3) / 2
    assert novelty(slates, shares) == pytest.approx((1 + 3 + 3) / 3)
    assert math.isnan(novelty([np.array([], dtype=np.int64)], shares))
    assert math.isnan(novelty([], shares))


def test_interval_of_a_constant_is_the_constant() -> None:
    interval = bootstrap_interval([2.0] * 9, groups=list("abcabcabc"), seed=1)
    assert (interval.mean, interval.low, interval.high) == (2.0, 2.0, 2.0)


def test_interval_widens_when_rows_come_in_few_groups() -> None:
    values = np.random.default_rng(4).normal(size=400).repeat(5)
    narrow = bootstrap_interval(values, groups=[str(row) for row in range(len(values))], seed=1)
    wide = bootstrap_interval(values, groups=[str(row // 5) for row in range(len(values))], seed=1)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_same_seed_gives_the_same_interval() -> None:
    values, groups = np.arange(10.0), list("aabbccddee")
    assert bootstrap_interval(values, groups=groups, seed=5) == bootstrap_interval(values, groups=groups, seed=5)
