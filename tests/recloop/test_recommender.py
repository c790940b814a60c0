"""Ranking over a tiny catalogue."""

from __future__ import annotations

import numpy as np

from recloop.labels import Head
from recloop.ranking import UserState
from recloop.recommender import Recommender
from tests.recloop.conftest import N_ITEMS, NOW, user


def test_an_action_changes_the_scores(recommender: Recommender) -> None:
    def chances(state: UserState) -> np.ndarray:
        cf_scores, sequence_scores = recommender.retrieval_scores(state, context=NOW)
        candidates = recommender.candidates(np.arange(2, N_ITEMS), cf_scores=cf_scores, sequence_scores=sequence_scores)
        return recommender.rank(state, candidates, context=NOW).heads[Head.CLICK]

    assert not np.allclose(chances(user("i0")), chances(user("i0", "i1")))


def test_everything_seen_gives_an_empty_result(recommender: Recommender) -> None:
    everything = frozenset(recommender.items.ids)
    scored = recommender.score(user("i0", seen_items=everything), context=NOW)
    assert len(scored.candidates.rows) == len(scored.heads[Head.CLICK]) == 0
