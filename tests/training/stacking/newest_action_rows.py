"""Rows where the ranker knows what no tree can: a click says whether the user took the first item last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recloop.histories import GAP_BUCKETS, Histories
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES, Items, Vocabularies
from training.ranker.rows import RankerShape
from training.stacking.pooled import PooledRanker
from training.stacking.row_statistics import Moments
from training.stacking.rows import Rows

N = 600
NEWEST = RankerShape(n_dimensions=8, n_layers=1, hidden=(16,), dropout=0.0)
FORMS = {"blind": replace(NEWEST, use_sequence=False), "newest": NEWEST}
"""A ranker that does not look at the history, and one that does."""


def make_rows(items: Items) -> Rows:
    """Return N rows, oldest first, of 30 users."""
    generator = np.random.default_rng(3)
    n_items = len(items)
    newest, candidates = generator.integers(0, 3, N), generator.integers(0, min(3, n_items), N)
    one = np.ones((N, 1), dtype=np.int64)
    old = one * (GAP_BUCKETS - 1)  # for the time-window mask hides what is new
    clicks = (newest == 0).astype(np.int8)
    none = np.zeros(N, dtype=np.int8)
    users = np.array([f"u{place % 30}" for place in range(N)], dtype=object)
    matrix = generator.normal(size=(N, len(RANKING_FEATURES))).astype(np.float32)
    matrix[:, -6:] = 0
    return Rows(
        matrix,
        {Head.CLICK: clicks, Head.LONG_VIEW: none, Head.LIKE: none, Head.HIDE: none},
        Moments(users, candidates, np.full(N, None, dtype=object), np.arange(N)),
        np.full(N, {}, dtype=object),
        np.ones(N, dtype=bool),
        np.ones(N, dtype=bool),
        Histories((newest + 1)[:, None], one, old, one),
        np.arange(N),
    )


def pooled_ranker(
    rows: Rows, items: Items, *, seed: int = 0, epochs: int = 2, forms: Mapping[str, RankerShape] = FORMS
) -> PooledRanker:
    """Return a small ranker of the rows."""
    vectors = np.eye(len(items), 4, dtype=np.float32)
    return PooledRanker(
        rows, names=RANKING_FEATURES, vocabularies=Vocabularies({}), items=items, vectors=vectors, epochs=epochs,
        seed=seed, device="cpu", forms=forms,
    )  # fmt: skip
