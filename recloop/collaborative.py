"""Collaborative filtering as a reader has it: how much an action weighs, and a user's vector from what they did.

The items' factors come from training; they are never learned here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recloop.labels import CLICK_ACTIONS, HIDE_ACTIONS, LIKE_ACTIONS
from recloop.ranking import Indices


def cf_weight(action: str) -> float:
    """Return the strength of an action for collaborative filtering; 0 for one that says nothing good."""
    if action in HIDE_ACTIONS:
        return 0.0
    return 2.0 if action in LIKE_ACTIONS else 1.0 if action in CLICK_ACTIONS else 0.5


class FoldIn:
    """Turn a user's newest interactions into an ALS user vector (Hu, Koren, Volinsky 2008, eq. 4).

    So a new user gets a vector at once, and an old one a vector that knows the last click.
    """

    def __init__(self, factors: NDArray[np.float32], *, regularization: float, alpha: float) -> None:
        self.factors = factors
        self._alpha = alpha
        self._base = factors.T @ factors + regularization * np.eye(factors.shape[1], dtype=np.float32)

    def vector(self, rows: Indices, weights: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the user vector [d]; zeros when no row has a weight."""
        kept = weights > 0
        if not kept.any():
            return np.zeros(self.factors.shape[1], dtype=np.float32)
        # What was done repeatedly with one item adds up, as in the matrix that ALS learned from.
        distinct, group = np.unique(rows[kept], return_inverse=True)
        chosen = self.factors[distinct]
        confidence = self._alpha * np.bincount(group, weights=weights[kept])[:, None]
        left = self._base + chosen.T @ (confidence * chosen)
        return np.linalg.solve(left, ((1 + confidence) * chosen).sum(axis=0)).astype(np.float32)
