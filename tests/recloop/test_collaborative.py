"""A user's vector from what they did: the equations of ALS, and which actions have no weight."""

from __future__ import annotations

import numpy as np
import pytest

from recloop.collaborative import FoldIn, cf_weight


def test_fold_in_solves_the_normal_equations() -> None:
    generator = np.random.default_rng(2)
    factors = generator.normal(size=(6, 3)).astype(np.float32)
    rows, weights = np.array([1, 4]), np.array([2.0, 0.5])
    vector = FoldIn(factors, regularization=0.3, alpha=5.0).vector(rows, weights)
    confidence = np.ones(6)
    confidence[rows] += 5.0 * weights
    preference = np.isin(np.arange(6), rows).astype(float)
    left = factors.T @ np.diag(confidence) @ factors + 0.3 * np.eye(3)
    assert vector == pytest.approx(np.linalg.solve(left, factors.T @ (confidence * preference)), rel=1e-3)


def test_only_hides_give_no_cf_vector() -> None:
    assert cf_weight("hide") == 0.0
    assert (
        not FoldIn(np.ones((3, 2), dtype=np.float32), regularization=1, alpha=1)
        .vector(np.array([0]), np.array([0.0]))
        .any()
    )
