"""Offline metrics of heads: labels are 0 or 1, scores or probabilities stand beside them, one per row.

Intervals are bootstraps that draw whole groups (users) with replacement, since rows of one user are not independent
(Efron and Tibshirani 1993, ch. 8): percentiles, where nothing else is said. The same seed and groups draw the same
users for every metric.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recloop.metrics import N_RESAMPLES, Interval

Numbers = NDArray[np.float64]
Ints = NDArray[np.int64]
Statistic = Callable[[Ints], float]
"""From how often each group was drawn to a number, NaN where it is undefined; what needs sorting is done before."""


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
    """Return the mean negative log-likelihood; NaN when empty."""
    losses = log_losses(labels, probabilities)
    return float(losses.mean()) if len(losses) else float("nan")


def log_losses(labels: ArrayLike, probabilities: ArrayLike) -> Numbers:
    """Return the negative log-likelihood of each row; probabilities are clipped to [1e-7, 1 - 1e-7]."""
    truth = np.asarray(labels, dtype=np.float64)
    chance = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-7, 1 - 1e-7)
    losses: Numbers = -(truth * np.log(chance) + (1 - truth) * np.log(1 - chance))
    return losses


def grouped_auc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> float:
    """Return the AUC within each group that has both labels, weighted by its rows; NaN when no group has.

    The GAUC of Zhou et al. (2018, Deep Interest Network), which weighs users by their impressions.

    >>> grouped_auc([0, 1, 1, 0], [1, 2, 1, 2], ["a", "a", "b", "b"])  # (1 * 2 + 0 * 2) / 4
    0.5
    """
    weighted, rows = _group_aucs(labels, scores, group_codes(groups))
    return float(weighted.sum() / rows.sum()) if rows.any() else float("nan")


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, n_bins: int = 15) -> float:
    """Return how far the mean probability of a bin is from its share of positives, weighted by the bins' rows.

    That is the ECE of Guo et al. (2017), with the equal-count bins of Nguyen and O'Connor (2015) in place of bins of
    equal width, most of which rare positives would leave empty. Rows of equal probability stay together, in the bin of
    the middle one, so that the order of rows changes nothing; a constant is one bin. NaN when empty.

    >>> expected_calibration_error([0, 1, 1, 0], [0.25, 0.25, 0.75, 0.75], n_bins=2)  # (|1 - 0.5| + |1 - 1.5|) / 4
    0.25
    """
    chance = np.asarray(probabilities, dtype=np.float64)
    if not len(chance):
        return float("nan")
    gaps = np.bincount(_bins(chance, n_bins), weights=np.asarray(labels, dtype=np.float64) - chance)
    return float(np.abs(gaps).sum() / len(chance))


def _bins(chance: Numbers, n_bins: int) -> Ints:
    """Return the bin of each row."""
    _, inverse, counts = np.unique(chance, return_inverse=True, return_counts=True)
    past = np.cumsum(counts)
    bins: Ints = ((2 * past - counts - 1) * n_bins // (2 * len(chance)))[inverse]
    return bins


def auc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Return the AUC of all rows and its interval; NaN three times with one class only.

    A resample that happens to hold one class only is left out.
    """
    codes = group_codes(groups)
    return _interval(_auc_statistic(labels, scores, codes), codes, seed, n_resamples, level)


def auc_difference_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    baseline: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Return the AUC of `scores` less that of `baseline` on the same rows, and its paired interval."""
    codes = group_codes(groups)
    ours, theirs = _auc_statistic(labels, scores, codes), _auc_statistic(labels, baseline, codes)
    return _interval(lambda counts: ours(counts) - theirs(counts), codes, seed, n_resamples, level)


def gauc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Return the grouped AUC of all rows and its interval; NaN three times when no group has both labels."""
    codes = group_codes(groups)
    return _interval(_gauc_statistic(labels, scores, codes), codes, seed, n_resamples, level)


def gauc_difference_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    baseline: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Return the grouped AUC of `scores` less that of `baseline` on the same rows, and its paired interval."""
    codes = group_codes(groups)
    ours, theirs = _gauc_statistic(labels, scores, codes), _gauc_statistic(labels, baseline, codes)
    return _interval(lambda counts: ours(counts) - theirs(counts), codes, seed, n_resamples, level)


def log_loss_interval(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Return the log-loss of all rows and its interval; NaN three times when empty."""
    codes = group_codes(groups)
    statistic = _ratio(np.bincount(codes, weights=log_losses(labels, probabilities)), np.bincount(codes))
    return _interval(statistic, codes, seed, n_resamples, level)


def ece_interval(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
    n_bins: int = 15,
) -> Interval:
    """Return the expected calibration error of all rows, and bounds of the true one in the same bins; NaN when empty.

    The error adds up what chance leaves in each bin, and that of a resample does so twice: no percentile of it comes
    down to 0, the truth of calibrated probabilities. Two sums of absolute gaps differ by no more than the sum of the
    gaps' absolute differences; what that is at most in `level` of the resamples is put on either side, cut at 0. So the
    bounds hold the truth at least as often as `level` says.
    """
    codes, chance = group_codes(groups), np.asarray(probabilities, dtype=np.float64)
    error = expected_calibration_error(labels, chance, n_bins)
    if not len(chance):
        return Interval(error, error, error)
    n = int(codes.max()) + 1
    places = codes * n_bins + _bins(chance, n_bins)
    gaps = np.bincount(places, weights=np.asarray(labels) - chance, minlength=n * n_bins).reshape(n, n_bins)
    rows, whole = np.bincount(codes), gaps.sum(axis=0) / len(chance)

    def distance(counts: Ints) -> float:
        return float(np.abs(counts @ gaps / (counts * rows).sum() - whole).sum())

    reach = float(np.quantile(_resampled(distance, n, seed, n_resamples), level))
    return Interval(error, max(0.0, error - reach), error + reach)


def group_codes(groups: ArrayLike) -> Ints:
    """Number groups 0, 1, … as they first appear. Hashing them costs a tenth of what sorting strings does.

    >>> group_codes(["b", "a", "b"])
    array([0, 1, 0])
    """
    names = np.asarray(groups).tolist()
    numbers: dict[object, int] = {}
    return np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), dtype=np.int64, count=len(names))


def _interval(statistic: Statistic, codes: Ints, seed: int, n_resamples: int, level: float) -> Interval:
    n = int(codes.max(initial=-1)) + 1
    low, high = _quantiles(_resampled(statistic, n, seed, n_resamples), level)
    return Interval(statistic(np.ones(n, dtype=np.int64)), low, high)


def _resampled(statistic: Statistic, n: int, seed: int, n_resamples: int) -> Numbers:
    """Return the statistic of `n_resamples` draws of n groups."""
    generator = np.random.default_rng(seed)
    # Counting n draws gives the multinomial's counts, six times faster than asking for them. One resample at a time
    # stays in the processor's cache, and memory does not grow with their number.
    draws = (np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(n_resamples))
    return np.array([statistic(counts) for counts in draws])


def _quantiles(values: Numbers, level: float) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _auc_statistic(labels: ArrayLike, scores: ArrayLike, codes: Ints) -> Statistic:
    """Return the AUC in which a row counts as often as its group was drawn."""
    positive = np.asarray(labels, dtype=bool)
    values = np.asarray(scores, dtype=np.float64)
    positives, negatives = (rows[np.argsort(values[rows])] for rows in map(np.flatnonzero, (positive, ~positive)))
    below, upto = (np.searchsorted(values[negatives], values[positives], side) for side in ("left", "right"))
    positive_codes, negative_codes = codes[positives], codes[negatives]

    def statistic(counts: Ints) -> float:
        drawn, beaten = counts[positive_codes], np.cumsum(counts[negative_codes])
        passed = np.concatenate([[0], beaten])
        n_pairs = int(drawn.sum()) * int(passed[-1])
        return float(drawn @ (passed[below] + passed[upto])) / 2 / n_pairs if n_pairs else float("nan")

    return statistic


def _gauc_statistic(labels: ArrayLike, scores: ArrayLike, codes: Ints) -> Statistic:
    return _ratio(*_group_aucs(labels, scores, codes))


def _ratio(above: Numbers | Ints, below: Numbers | Ints) -> Statistic:
    """Return the ratio of two sums over the groups drawn."""

    def statistic(counts: Ints) -> float:
        # Not as dot products: BLAS shares those among threads, and waiting for each other takes them ten times longer.
        divisor = float((counts * below).sum())
        return float((counts * above).sum()) / divisor if divisor else float("nan")

    return statistic


def _group_aucs(labels: ArrayLike, scores: ArrayLike, codes: Ints) -> tuple[Numbers, Numbers]:
    """Return, per group, its AUC times its rows, and its rows; both 0 for a group without both labels."""
    order = np.lexsort((np.asarray(scores, dtype=np.float64), codes))
    groups, values = codes[order], np.asarray(scores, dtype=np.float64)[order]
    positive = np.asarray(labels, dtype=bool)[order]
    n = np.bincount(groups)
    n_positive = np.bincount(groups[positive], minlength=len(n))
    n_pairs = n_positive * (n - n_positive)
    # Tied rows of a group share the mean of their places; a place counts from the start of its group.
    change = (groups[1:] != groups[:-1]) | (values[1:] != values[:-1])
    first = np.flatnonzero(np.concatenate([[True], change])[: len(values)])
    past = np.append(first[1:], len(values))
    places = np.repeat((first + past + 1) / 2, past - first) - (np.cumsum(n) - n)[groups]
    ranks = np.bincount(groups[positive], weights=places[positive], minlength=len(n))
    both = n_pairs > 0
    values_of_groups = np.divide(ranks - n_positive * (n_positive + 1) / 2, n_pairs, out=np.zeros(len(n)), where=both)
    return values_of_groups * n, np.where(both, n, 0).astype(np.float64)
