"""The stack: one LightGBM per head over the base models' scores and all other features, and its calibration.

In: rows of the stack span. Out: LightGBM texts and rising curves from its outputs to probabilities. The newest part of
the rows decides when to stop and how to calibrate. The same seed on the same machine gives the same bytes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from recloop.labels import Head
from recloop.ranking import CATEGORICAL, RANKING_FEATURES
from training.stack_rows import Rows

LOG = logging.getLogger(__name__)
MIN_POSITIVES = 50
VALIDATION_SHARE = 0.2
MAX_ROUNDS, PATIENCE = 250, 20
N_THREADS = 2
CURVE_POINTS = 64
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.08,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_cat_to_onehot": 1,
    "cat_smooth": 50.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": N_THREADS,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Stack:
    """LightGBM text and calibration curve per head; `skipped` says why the other heads have none."""

    texts: dict[Head, str]
    curves: dict[Head, dict[str, list[float]]]
    skipped: dict[Head, str]
    rounds: dict[Head, int]


def train_stack(rows: Rows, *, seed: int) -> Stack:
    """Train every head that has both classes and MIN_POSITIVES positives.

    Raises:
        TrainingError: no head has.
    """
    cut = np.quantile(rows.times_ms, 1 - VALIDATION_SHARE)
    training, validation = rows.take(rows.times_ms < cut), rows.take(rows.times_ms >= cut)
    stack = Stack({}, {}, {}, {})
    for head in Head:
        reason = _why_not(training.labels[head], validation.labels[head])
        if reason:
            stack.skipped[head] = reason
            LOG.info("head %s is left out: %s", head, reason)
            continue
        _train_head(stack, head, training, validation, seed)
        LOG.info("head %s: %d trees from %d rows", head, stack.rounds[head], len(training))
    if not stack.texts:
        raise TrainingError(
            "no head can be learned: "
            + "; ".join(f"{head} {reason}" for head, reason in stack.skipped.items())
            + ". Train on a longer span, or on events that hold other actions."
        )
    return stack


def _why_not(training: NDArray[np.int8], validation: NDArray[np.int8]) -> str | None:
    n_positive = int(training.sum())
    if n_positive < MIN_POSITIVES or not validation.any():
        return f"has {n_positive} + {int(validation.sum())} positives, needs {MIN_POSITIVES} + 1"
    if n_positive == len(training) or validation.all():
        return "has positives only"
    return None


def _train_head(stack: Stack, head: Head, training: Rows, validation: Rows, seed: int) -> None:
    import lightgbm

    categorical = [RANKING_FEATURES.index(name) for name in CATEGORICAL]
    facts: dict[str, Any] = {
        "categorical_feature": categorical,
        "feature_name": list(RANKING_FEATURES),
        # Quiet about unknown categories: they are negative codes, which it takes as missing, as meant.
        "params": {"verbosity": PARAMETERS["verbosity"]},
    }
    learn = lightgbm.Dataset(training.matrix, training.labels[head], **facts)
    check = lightgbm.Dataset(validation.matrix, validation.labels[head], reference=learn, **facts)
    booster = lightgbm.train(
        PARAMETERS | {"seed": seed},
        learn,
        num_boost_round=MAX_ROUNDS,
        valid_sets=[check],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    best = booster.best_iteration or booster.current_iteration()
    stack.texts[head] = booster.model_to_string(num_iteration=best)
    stack.rounds[head] = best
    truth, raw = calibration_rows(validation, head, np.asarray(booster.predict(validation.matrix, num_iteration=best)))
    stack.curves[head] = fit_curve(raw, truth)


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
    logit = _logit(raw)
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
    y = 1 / (1 + np.exp(-(slope * _logit(inner) + shift)))
    return {"x": [0.0, *inner.tolist(), 1.0], "y": [0.0, *y.tolist(), 1.0]}


def _logit(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(chance, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))
