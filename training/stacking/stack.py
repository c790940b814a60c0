"""The stack: one LightGBM per head over the base models' scores and all other features, and its calibration.

In: rows of the stack span. Out: LightGBM texts and rising curves from its outputs to probabilities. The newest part of
the rows decides when to stop and how to calibrate. The same seed on the same machine gives the same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from recloop.labels import Head
from recloop.ranker import to_logits
from recloop.ranking import CATEGORICAL, RANKING_FEATURES
from training.stacking.rows import Rows
from training.threads import n_threads

LOG = logging.getLogger(__name__)
MIN_POSITIVES = 50
VALIDATION_SHARE = 0.2
MAX_ROUNDS, PATIENCE = 400, 30
CURVE_POINTS = 64
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_cat_to_onehot": 1,
    "cat_smooth": 50.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


SIZES: tuple[dict[str, Any], ...] = (
    {"num_leaves": 31, "min_data_in_leaf": 100},
    {"num_leaves": 7, "min_data_in_leaf": 300},
)
"""Sizes of trees that are tried: small ones do better on heads with few positives."""


@dataclass(frozen=True)
class Stack:
    """LightGBM text and calibration curve per head; `skipped` says why the other heads have none.

    `plans` has, per head, what the validation rows chose: parameters and number of trees; `checked` what the trees of
    the plan said of those rows before they were grown on all.
    """

    texts: dict[Head, str]
    curves: dict[Head, dict[str, list[float]]]
    skipped: dict[Head, str]
    plans: dict[Head, tuple[dict[str, Any], int]]
    checked: dict[Head, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def rounds(self) -> dict[Head, int]:
        """Return the number of trees of each head."""
        return {head: rounds for head, (_, rounds) in self.plans.items()}

    def calibrated(self, head: Head, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return raw outputs of a planned head as probabilities."""
        return np.interp(raw, self.curves[head]["x"], self.curves[head]["y"])


def train_stack(rows: Rows, *, names: Sequence[str] = RANKING_FEATURES, seed: int) -> Stack:
    """Plan the stack and grow its trees on all rows; see `plan_stack`."""
    return refit(plan_stack(rows, names=names, seed=seed), rows, names=names, seed=seed)


def plan_stack(rows: Rows, *, names: Sequence[str] = RANKING_FEATURES, seed: int) -> Stack:
    """Plan every head that has both classes and MIN_POSITIVES positives; no trees are kept yet.

    The newest VALIDATION_SHARE of the rows, which are sorted by time, chooses size and number of the trees and
    calibrates.

    Raises:
        TrainingError: no head has.
    """
    training, validation = split_rows(_without_unknown(rows, names))
    stack = Stack({}, {}, {}, {})
    for head in Head:
        reason = _why_not(training.labels[head], validation.labels[head])
        if reason:
            stack.skipped[head] = reason
            LOG.info("head %s is left out: %s", head, reason)
            continue
        stack.plans[head], stack.checked[head] = _plan(head, training, validation, names, seed)
        truth, raw = calibration_rows(validation, head, stack.checked[head])
        stack.curves[head] = fit_curve(raw, truth)
        LOG.info("head %s: %d trees from %d rows", head, stack.rounds[head], len(training))
    if not stack.plans:
        raise TrainingError(
            "no head can be learned: "
            + "; ".join(f"{head} {reason}" for head, reason in stack.skipped.items())
            + ". Train on a longer span, or on events that hold other actions."
        )
    return stack


def split_rows(rows: Rows) -> tuple[Rows, Rows]:
    """Return the rows that trees are planned on and the newest ones, which choose the plan and calibrate; as views."""
    cut = int(np.searchsorted(rows.times_ms, np.quantile(rows.times_ms, 1 - VALIDATION_SHARE)))
    return rows.take(slice(cut)), rows.take(slice(cut, None))


def refit(stack: Stack, rows: Rows, *, names: Sequence[str] = RANKING_FEATURES, seed: int) -> Stack:
    """Return the stack with its trees grown anew on given rows, by the plans it has."""
    rows = _without_unknown(rows, names)
    texts = {
        head: _grow(_dataset(rows, head, names), parameters, rounds, seed).model_to_string()
        for head, (parameters, rounds) in stack.plans.items()
    }
    return replace(stack, texts=texts)


def _why_not(training: NDArray[np.int8], validation: NDArray[np.int8]) -> str | None:
    n_positive = int(training.sum())
    if n_positive < MIN_POSITIVES or not validation.any():
        return f"has {n_positive} + {int(validation.sum())} positives, needs {MIN_POSITIVES} + 1"
    if n_positive == len(training) or validation.all():
        return "has positives only"
    return None


def _plan(
    head: Head, training: Rows, validation: Rows, names: Sequence[str], seed: int
) -> tuple[tuple[dict[str, Any], int], NDArray[np.float64]]:
    """Return the parameters and rounds with the least validation loss, and what they predict there."""
    import lightgbm

    learn = _dataset(training, head, names)
    best: tuple[float, tuple[dict[str, Any], int], NDArray[np.float64]] | None = None
    for size in SIZES:
        # A data set is bound to its parameters when it is first used; the bins do not depend on these.
        check = _dataset(validation, head, names, reference=learn)
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        booster = _grow(learn, size, MAX_ROUNDS, seed, valid_sets=[check], callbacks=[stop])
        rounds = booster.best_iteration or booster.current_iteration()
        loss = booster.best_score["valid_0"]["binary_logloss"]
        if best is None or loss < best[0]:
            chances = np.asarray(booster.predict(validation.matrix, num_iteration=rounds), dtype=np.float64)
            best = loss, (size, rounds), chances
    assert best is not None, "there are sizes to try"
    return best[1], best[2]


def _dataset(rows: Rows, head: Head, names: Sequence[str], *, reference: Any = None) -> Any:
    import lightgbm

    return lightgbm.Dataset(
        rows.matrix,
        rows.labels[head],
        reference=reference,
        categorical_feature=_categorical(names),
        feature_name=list(names),
        params={"verbosity": PARAMETERS["verbosity"], "feature_pre_filter": False},
        free_raw_data=False,
    )


def _without_unknown(rows: Rows, names: Sequence[str]) -> Rows:
    """Return the rows with unknown codes as missing: LightGBM takes them so too, but prints a warning of each."""
    known = rows.matrix.copy()
    for place in _categorical(names):
        known[known[:, place] < 0, place] = np.nan
    return replace(rows, matrix=known)


def _categorical(names: Sequence[str]) -> list[int]:
    return [names.index(name) for name in CATEGORICAL]


def _grow(learn: Any, size: dict[str, Any], rounds: int, seed: int, **more: Any) -> Any:
    import lightgbm

    own = {"seed": seed, "num_threads": n_threads()}
    return lightgbm.train(PARAMETERS | size | own, learn, num_boost_round=rounds, **more)


def calibration_rows(rows: Rows, head: Head, raw: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return labels and raw outputs of the rows a probability should hold on: those that users met, if they suffice."""
    labels = rows.labels[head]
    met = labels[rows.met]
    if min(int(met.sum()), int((1 - met).sum())) >= MIN_POSITIVES:
        return met, raw[rows.met]
    return labels, raw


def fit_curve(raw: NDArray[np.float64], truth: NDArray[np.int8]) -> dict[str, list[float]]:
    """Fit a logistic curve on the logit (Platt 1999) and return it as points.

    Always rising, so that calibration never reorders a slate or makes ties of it, as steps of isotonic regression do.
    """
    logit = to_logits(raw)
    slope, shift = 1.0, 0.0
    # Platt's targets keep the likelihood finite when the classes are separable.
    n_positive = int(truth.sum())
    target = np.where(truth > 0, (n_positive + 1) / (n_positive + 2), 1 / (len(truth) - n_positive + 2))
    for _ in range(50):
        chance = 1 / (1 + np.exp(-(slope * logit + shift)))
        weight = np.maximum(chance * (1 - chance), 1e-9)
        design = np.column_stack([logit, np.ones_like(logit)])
        hessian = design.T @ (weight[:, None] * design) + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (target - chance))
        slope, shift = slope + float(np.clip(step[0], -1, 1)), shift + float(np.clip(step[1], -2, 2))
        if abs(step).max() < 1e-6:
            break
    slope = max(slope, 0.05)
    inner = 1 / (1 + np.exp(-np.linspace(-9, 9, CURVE_POINTS - 2)))
    y = 1 / (1 + np.exp(-(slope * to_logits(inner) + shift)))
    return {"x": [0.0, *inner.tolist(), 1.0], "y": [0.0, *y.tolist(), 1.0]}
