"""ALS: the kernel's fold-in gives the vectors that implicit itself would give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recloop.collaborative import FoldIn
from recloop.errors import TrainingError
from recloop.sequences import ACTION_CODES
from training.data.dataset import TrainingSet
from training.retrieval.collaborative import ALPHA, REGULARIZATION, train_collaborative


def test_fold_in_is_implicits_own_user_vector(training_set: TrainingSet) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    model = train_collaborative(training_set, seed=1, n_factors=8)
    rows, weights = np.array([3, 9, 9, 30]), np.array([2.0, 1.0, 0.5, 1.0])
    als = AlternatingLeastSquares(factors=8, regularization=REGULARIZATION, alpha=1.0, num_threads=1)
    als.item_factors = model.factors
    summed = csr_matrix(([1 + ALPHA * 2.0, 1 + ALPHA * 1.5, 1 + ALPHA * 1.0], ([0, 0, 0], [3, 9, 30])), shape=(1, 60))
    expected = als.recalculate_user(0, summed.astype(np.float32))
    fold_in = FoldIn(model.factors, regularization=model.regularization, alpha=model.alpha)
    assert fold_in.vector(rows, weights) == pytest.approx(np.ravel(expected), rel=1e-3, abs=1e-5)


def test_items_of_one_kind_lie_together(training_set: TrainingSet) -> None:
    factors = train_collaborative(training_set, seed=1, n_factors=8).factors
    popular = factors[:15] / np.linalg.norm(factors[:15], axis=1, keepdims=True)
    likeness = popular @ popular.T
    same = np.arange(15)[:, None] % 3 == np.arange(15)[None] % 3
    assert likeness[same].mean() > likeness[~same].mean() + 0.1


def test_log_of_hides_only_is_refused(training_set: TrainingSet) -> None:
    hides = np.full_like(training_set.interactions.actions, ACTION_CODES["hide"])  # type: ignore[index]
    log = dataclasses.replace(training_set.interactions, actions=hides)
    with pytest.raises(TrainingError, match="no click, save or view"):
        train_collaborative(dataclasses.replace(training_set, interactions=log), seed=1)
