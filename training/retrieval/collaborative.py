"""Collaborative filtering: ALS over the base span's interactions; the item factors are all that is kept.

In: a training set. Out: item factors float32 [n, d], with which `recloop.collaborative.FoldIn` makes a user's vector at
request time, from what the user did until then; so no user needs to have been there in training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloop.collaborative import cf_weight
from recloop.errors import TrainingError
from recloop.events import INTERACTIONS
from training.data.dataset import TrainingSet
from training.threads import n_threads

N_FACTORS, N_ITERATIONS = 64, 12
REGULARIZATION, ALPHA = 3.0, 4.0


@dataclass(frozen=True)
class CollaborativeModel:
    """Item factors and the two numbers that FoldIn needs to go with them."""

    factors: NDArray[np.float32]
    regularization: float
    alpha: float


def train_collaborative(training_set: TrainingSet, *, seed: int, n_factors: int = N_FACTORS) -> CollaborativeModel:
    """Fit ALS on what was done before the stack span; a repeated interaction adds to its weight.

    Raises:
        TrainingError: nobody did anything good in the base span.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    log = training_set.interactions
    weights = np.array([0.0, *map(cf_weight, INTERACTIONS)], dtype=np.float32)[log.actions]
    users = np.repeat(np.arange(len(log.user_ids)), np.diff(log.starts))
    kept = (log.times_ms < training_set.split.stack_ms) & (weights > 0)
    if not kept.any():
        raise TrainingError("the base span has no click, save or view to learn from. Train on a longer span.")
    shape = (len(log.user_ids), len(training_set.items))
    matrix = csr_matrix((weights[kept], (users[kept], log.items[kept])), shape=shape)
    matrix.sum_duplicates()
    # implicit takes the confidence itself, where the paper (and FoldIn) has 1 + alpha * weight.
    matrix.data = 1 + ALPHA * matrix.data
    # BLAS threads inside implicit's own would wait for each other.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=n_factors,
            regularization=REGULARIZATION,
            alpha=1.0,
            iterations=N_ITERATIONS,
            random_state=seed,
            num_threads=n_threads(),
        )
        model.fit(matrix, show_progress=False)
    return CollaborativeModel(np.asarray(model.item_factors, dtype=np.float32), REGULARIZATION, ALPHA)
