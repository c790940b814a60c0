"""Stack rows that are made up: parts that most tests do not look at, and whole ones with one part that tells."""

from __future__ import annotations

from typing import Any

import numpy as np

from recloop.histories import Histories
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES
from training.stacking.row_statistics import Moments
from training.stacking.rows import Rows


def without_history(n: int) -> dict[str, Any]:
    """Return `histories` and `request` of n rows that one user asked for who did nothing before."""
    nothing = np.zeros((1, 1), dtype=np.int64)
    return {"histories": Histories(nothing, nothing, nothing, nothing), "request": np.zeros(n, dtype=np.int64)}


def planted_rows(n: int, seed: int, *, liked: bool = True) -> Rows:
    """Return rows of 40 users of which cf_score tells whether they are clicked, and nothing else tells anything."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(n, len(RANKING_FEATURES))).astype(np.float32)
    matrix[:, -6:] = generator.integers(0, 3, size=(n, 6))
    chance = 1 / (1 + np.exp(-2 * matrix[:, RANKING_FEATURES.index("cf_score")]))
    clicks = (generator.random(n) < chance).astype(np.int8)
    none = np.zeros(n, dtype=np.int8)
    labels = {Head.CLICK: clicks, Head.LIKE: clicks if liked else none, Head.LONG_VIEW: none, Head.HIDE: none}
    users = np.array([f"u{place % 40}" for place in range(n)], dtype=object)
    moments = Moments(users, np.zeros(n, dtype=np.int64), np.full(n, None, dtype=object), np.arange(n))
    ones = np.ones(n, dtype=bool)
    return Rows(matrix, labels, moments, np.full(n, {}, dtype=object), ones, ones, **without_history(n))
