"""Metrics of heads against sums written out by hand, scikit-learn, and truths that a simulation knows."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from numpy.typing import NDArray

from recloop.head_metrics import (
    auc,
    auc_difference_interval,
    auc_interval,
    ece_interval,
    expected_calibration_error,
    gauc_difference_interval,
    gauc_interval,
    group_codes,
    grouped_auc,
    log_loss,
    log_loss_interval,
)
from recloop.metrics import Interval

Metric = Callable[..., float]
MakeInterval = Callable[..., Interval]


def rows(seed: int, n: int = 400, n_groups: int = 40) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    """Return labels, scores of few values and so with many ties, and groups of which some have one label only."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    scores = generator.integers(0, 9, n) / 8 + labels / 8
    return labels, scores, [f"u{group}" for group in generator.geometric(3 / n_groups, n)]


def auc_of(labels: NDArray[np.int64], scores: NDArray[np.float64], groups: list[str]) -> float:
    return auc(labels, scores)


def log_loss_of(labels: NDArray[np.int64], chances: NDArray[np.float64], groups: list[str]) -> float:
    return log_loss(labels, chances)


@pytest.mark.parametrize("seed", range(5))
def test_auc_and_log_loss_equal_those_of_scikit_learn(seed: int) -> None:
    labels, scores, _ = rows(seed)
    chances = np.clip(scores, 0.01, 0.99)
    assert auc(labels, scores) == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores))
    assert log_loss(labels, chances) == pytest.approx(sklearn.metrics.log_loss(labels, chances))


def test_auc_equals_the_count_over_pairs() -> None:
    labels, scores, _ = rows(3, n=60)
    pairs = [(p > n) + (p == n) / 2 for p in scores[labels == 1] for n in scores[labels == 0]]
    assert auc(labels, scores) == pytest.approx(np.mean(pairs))


def test_auc_of_one_class_is_unknown() -> None:
    assert math.isnan(auc([1, 1], [0.2, 0.3]))


def test_log_loss_by_hand() -> None:
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


def test_gauc_weighs_groups_by_rows() -> None:
    labels, scores, groups = [1, 0, 0, 1, 0, 1], [3.0, 2.0, 1.0, 0.0, 1.0, 5.0], ["a", "a", "a", "b", "b", "c"]
    # a: 1.0 over 3 rows, b: 0.0 over 2 rows, c has positives only
    assert grouped_auc(labels, scores, groups) == pytest.approx((1.0 * 3 + 0.0 * 2) / 5)


@pytest.mark.parametrize("seed", range(5))
def test_gauc_equals_a_loop_over_groups(seed: int) -> None:
    labels, scores, groups = rows(seed)
    names = np.array(groups)
    both = [own for own in (names == name for name in sorted(set(groups))) if 0 < labels[own].sum() < own.sum()]
    assert 5 < len(both) < len(set(groups))
    total = sum(sklearn.metrics.roc_auc_score(labels[own], scores[own]) * own.sum() for own in both)
    assert grouped_auc(labels, scores, groups) == pytest.approx(total / sum(own.sum() for own in both))


def test_gauc_without_a_group_of_both_labels_is_unknown() -> None:
    assert math.isnan(grouped_auc([1, 0], [0.1, 0.2], ["a", "b"]))
    assert math.isnan(grouped_auc([], [], []))


def test_infinite_scores_are_ordered_too() -> None:
    # -inf twice is a tie of the two labels: pairs (-inf, -inf) 1/2 and (+inf, -inf) 1
    assert grouped_auc([1, 0, 1], [-np.inf, -np.inf, np.inf], ["a"] * 3) == pytest.approx((1 / 2 + 1) / 2)


@pytest.mark.parametrize("groups", [["b", "a", "b"], [7, 3, 7], np.array(["b", None, "b"], dtype=object)])
def test_groups_are_numbered_as_they_appear(groups: object) -> None:
    assert group_codes(groups).tolist() == [0, 1, 0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "chances", "n_bins", "expected"),
    [
        # two bins of three: |(0 + 1 + 0) - (.1 + .2 + .3)| and |(1 + 1 + 0) - (.7 + .8 + .9)|
        pytest.param([0, 1, 0, 1, 1, 0], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9], 2, (0.4 + 0.4) / 6, id="equal_counts"),
        # bins of equal width would put all three into the first
        pytest.param([0, 0, 1], [0.01, 0.02, 0.03], 3, (0.01 + 0.02 + 0.97) / 3, id="narrow_range"),
        pytest.param([0, 1, 1, 1], [0.5] * 4, 15, abs(3 / 4 - 0.5), id="constant"),
        # the four equal ones lie at places 1 to 4 of 0 to 5, their middle 2.5 in the first bin: |3 - 1.7| and |0 - .6|
        pytest.param([1, 0, 1, 0, 1, 0], [0.1, 0.4, 0.4, 0.4, 0.4, 0.6], 2, (1.3 + 0.6) / 6, id="ties_in_one_bin"),
        pytest.param([1, 0], [1.0, 0.0], 15, 0.0, id="fewer_rows_than_bins"),
    ],
)
def test_calibration_error_by_hand(labels: list[int], chances: list[float], n_bins: int, expected: float) -> None:
    assert expected_calibration_error(labels, chances, n_bins) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_is_that_of_scikit_learns_curve(seed: int) -> None:
    generator = np.random.default_rng(seed)
    chances = generator.random(150)
    labels = generator.random(150) < chances**2
    # bins of ten distinct chances each: the mean over bins is that over rows
    shares, means = sklearn.calibration.calibration_curve(labels, chances, n_bins=15, strategy="quantile")
    assert len(shares) == 15
    assert expected_calibration_error(labels, chances, 15) == pytest.approx(np.abs(shares - means).mean())


def test_calibration_error_of_nothing_is_unknown() -> None:
    assert math.isnan(expected_calibration_error([], []))


def test_calibration_error_does_not_depend_on_the_order_of_rows() -> None:
    labels, scores, _ = rows(1)
    shuffled = np.random.default_rng(2).permutation(len(labels))
    expected = pytest.approx(expected_calibration_error(labels, scores / 2))
    assert expected_calibration_error(labels[shuffled], scores[shuffled] / 2) == expected


def test_calibrated_chances_have_little_error() -> None:
    generator = np.random.default_rng(1)
    chances = generator.beta(1, 20, 100_000)
    labels = generator.random(100_000) < chances
    assert expected_calibration_error(labels, chances) < 0.002
    assert expected_calibration_error(labels, chances * 1.5) == pytest.approx(0.5 / 21, abs=0.002)


@pytest.mark.parametrize(
    ("make_interval", "metric"),
    [(auc_interval, auc_of), (gauc_interval, grouped_auc), (log_loss_interval, log_loss_of)],
)
def test_interval_is_of_the_metric_with_users_repeated_as_drawn(make_interval: MakeInterval, metric: Metric) -> None:
    labels, scores, groups = rows(4, n=200, n_groups=20)
    names, codes = sorted(set(groups), key=groups.index), group_codes(groups)
    generator, values = np.random.default_rng(7), []
    for _ in range(50):
        drawn = generator.integers(len(names), size=len(names))
        taken = [(row, f"{place}") for place, user in enumerate(drawn) for row in np.flatnonzero(codes == user)]
        picked = [row for row, _ in taken]
        values.append(metric(labels[picked], scores[picked], [group for _, group in taken]))
    found = make_interval(labels, scores, groups, seed=7, n_resamples=50, level=0.8)
    assert found.mean == pytest.approx(metric(labels, scores, groups))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.1, 0.9])))


def test_resampled_auc_is_scikit_learns_with_weights() -> None:
    labels, scores, groups = rows(5)
    codes = group_codes(groups)
    n = codes.max() + 1
    counts = np.bincount(np.random.default_rng(9).integers(n, size=n), minlength=n)
    expected = sklearn.metrics.roc_auc_score(labels, scores, sample_weight=counts[codes])
    found = auc_interval(labels, scores, groups, seed=9, n_resamples=1)
    assert (found.low, found.high) == pytest.approx((expected, expected))


def test_calibration_error_is_bounded_by_how_far_resampled_gaps_are_from_the_gaps() -> None:
    # two bins; a and b have a row in each: gaps -.2 and .2, .8 and -.8; c has one in the second, d in the first
    labels, groups, chances = [0, 1, 1, 0, 0, 0], ["a", "a", "b", "b", "c", "d"], [0.2, 0.8, 0.2, 0.8, 0.8, 0.2]
    gaps, rows = np.array([[-0.2, 0.2], [0.8, -0.8], [0, -0.8], [-0.2, 0]]), np.array([2, 2, 1, 1])
    generator, distances = np.random.default_rng(7), []
    for _ in range(50):
        drawn = generator.integers(4, size=4)
        first, second = gaps[drawn].sum(axis=0) / rows[drawn].sum()
        distances.append(abs(first - 0.4 / 6) + abs(second + 1.4 / 6))
    found = ece_interval(labels, chances, groups, seed=7, n_resamples=50, level=0.8, n_bins=2)
    error, reach = (0.4 + 1.4) / 6, np.quantile(distances, 0.8)
    assert (found.mean, found.low, found.high) == pytest.approx((error, max(error - reach, 0), error + reach))


def test_bounds_of_the_calibration_error_hold_the_truth() -> None:
    generator, users, levels = np.random.default_rng(5), np.repeat(np.arange(150), 8), np.arange(1, 11) / 16
    missed, told_apart = {0.0: 0, 0.1: 0}, 0
    for wrong_by in missed:
        for seed in range(60):
            chances = generator.choice(levels, len(users))
            own = np.repeat(generator.choice([-0.05, 0.05], 150), 8)
            labels = generator.random(len(users)) < chances + wrong_by + own
            found = ece_interval(labels, chances, users, seed=seed, n_resamples=100)
            missed[wrong_by] += not found.low <= wrong_by <= found.high
            told_apart += wrong_by > 0 and found.low > 0
    # of 60 calibrated ones 3 are expected to look as if they were not, with a standard deviation of 1.7
    assert missed[0.0] <= 8
    assert missed[0.1] <= 3
    assert told_apart >= 57


@pytest.mark.parametrize("make_interval", [ece_interval, log_loss_interval])
def test_loss_and_calibration_of_nothing_have_no_interval(make_interval: MakeInterval) -> None:
    found = make_interval([], [], [], seed=1)
    assert np.isnan([found.mean, found.low, found.high]).all()


@pytest.mark.parametrize("make_interval", [auc_interval, gauc_interval])
def test_undefined_metric_has_no_interval(make_interval: MakeInterval) -> None:
    for labels, scores, groups in (([], [], []), ([1, 1], [0.1, 0.2], ["a", "a"])):
        found = make_interval(labels, scores, groups, seed=1)
        assert np.isnan([found.mean, found.low, found.high]).all()


def test_resamples_of_one_class_are_left_out() -> None:
    # each user has one label: of the four draws of two users, two hold both, and both of these rank well
    found = auc_interval([0, 1], [0.1, 0.2], ["a", "b"], seed=1, n_resamples=40)
    assert found == Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize("make_interval", [auc_difference_interval, gauc_difference_interval])
def test_difference_of_equal_orders_is_exactly_zero(make_interval: MakeInterval) -> None:
    labels, scores, groups = rows(6)
    assert make_interval(labels, scores * 3, scores, groups, seed=2, n_resamples=30) == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("make_difference", "make_interval", "metric"),
    [(auc_difference_interval, auc_interval, auc_of), (gauc_difference_interval, gauc_interval, grouped_auc)],
)
def test_pairing_narrows_a_difference(
    make_difference: MakeInterval, make_interval: MakeInterval, metric: Metric
) -> None:
    labels, scores, groups = rows(8)
    worse = scores + np.random.default_rng(3).normal(size=len(scores)) / 20
    found = make_difference(labels, scores, worse, groups, seed=2)
    one, other = (make_interval(labels, values, groups, seed=2) for values in (scores, worse))
    assert found.mean == pytest.approx(metric(labels, scores, groups) - metric(labels, worse, groups))
    assert found.low < found.mean < found.high
    assert found.high - found.low < 0.5 * ((one.high - one.low) + (other.high - other.low))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    # Score = 1 for a positive + the user's own shift + noise, both standard normal, and a user's label mostly repeats.
    # Of rows of two users the difference has variance 4, of one user 2.
    truths = {"auc": NormalDist().cdf(1 / math.sqrt(4)), "gauc": NormalDist().cdf(1 / math.sqrt(2)), "rows": 0.0}
    truths["rows"] = truths["auc"]
    n_users, each, n_simulations = 150, 8, 100
    users = np.repeat(np.arange(n_users), each)
    generator, covered = np.random.default_rng(12), dict.fromkeys(truths, 0)
    for seed in range(n_simulations):
        usual = np.repeat(generator.random(n_users) < 0.5, each)
        labels = np.where(generator.random(len(users)) < 0.8, usual, ~usual)
        scores = labels + np.repeat(generator.normal(size=n_users), each) + generator.normal(size=len(users))
        found = {
            "auc": auc_interval(labels, scores, users, seed=seed, n_resamples=200),
            "gauc": gauc_interval(labels, scores, users, seed=seed, n_resamples=200),
            "rows": auc_interval(labels, scores, np.arange(len(users)), seed=seed, n_resamples=200),
        }
        for name, interval in found.items():
            covered[name] += interval.low <= truths[name] <= interval.high
    # 95 of 100 expected, with a standard deviation of 2.2; rows drawn on their own deny that users differ
    assert 89 <= covered["auc"] <= 100, covered
    assert 89 <= covered["gauc"] <= 100, covered
    assert covered["rows"] < 80, covered
