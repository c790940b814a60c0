"""Offline metrics against sums written out by hand."""

from __future__ import annotations

import math
from math import log2

import numpy as np
import pytest

from recloop.metrics import (
    auc,
    average_precision_at_k,
    bootstrap_interval,
    log_loss,
    ndcg_at_k,
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


def test_average_precision_is_over_the_reachable_relevant_items() -> None:
    # precision at the hits of ranks 2 and 3: 1/2 and 2/3; min(k=3, 5 relevant) = 3
    assert average_precision_at_k([False, True, True], 3, n_relevant=5) == pytest.approx((1 / 2 + 2 / 3) / 3)


def test_precision_counts_missing_places_as_misses() -> None:
    assert precision_at_k([True], 10) == pytest.approx(1 / 10)


def test_recall_is_over_all_relevant_items() -> None:
    assert recall_at_k([True, False, True], 2, n_relevant=4) == pytest.approx(1 / 4)


def test_auc_equals_the_count_over_pairs() -> None:
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 7, 60)  # few values: many ties
    pairs = [(p > n) + (p == n) / 2 for p in scores[labels == 1] for n in scores[labels == 0]]
    assert auc(labels, scores) == pytest.approx(np.mean(pairs))


def test_auc_of_one_class_is_unknown() -> None:
    assert math.isnan(auc([1, 1], [0.2, 0.3]))


def test_log_loss_by_hand() -> None:
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


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
