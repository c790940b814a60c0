"""Retrieval and filtering over a tiny catalogue."""

from __future__ import annotations

import numpy as np

from recloop.ranking import UserState
from recloop.recommender import Recommender
from recloop.retrieval import Nominations
from recloop.sequences import RecentActions
from recloop.training_set import PUBLISHED_MS
from tests.recloop.conftest import AS_OF_MS, N_ITEMS, NOW, user


def test_seen_hidden_and_excluded_items_are_never_candidates(recommender: Recommender) -> None:
    state = user("i1", "i2", seen_items=frozenset({"i3"}))
    rows = recommender.retrieve(state, context=NOW, exclude=["i4", "unknown"]).rows
    assert not {1, 2, 3, 4} & set(rows.tolist())
    assert len(rows) == N_ITEMS - 4


def test_no_candidate_is_named_twice(recommender: Recommender) -> None:
    rows = recommender.retrieve(user("i1"), context=NOW).rows
    assert len(rows) == len(set(rows.tolist()))


def test_user_without_history_gets_popular_and_fresh_items(recommender: Recommender) -> None:
    candidates = recommender.retrieve(UserState("new"), context=NOW)
    assert candidates.rows[:3].tolist() == [3, 1, 0]
    assert set(candidates.sources) == {"popular", "fresh"}
    assert not candidates.cf_scores.any()


def test_user_who_only_hid_items_gets_none_from_collaborative_filtering(recommender: Recommender) -> None:
    recent = RecentActions(("i0", "i4"), ("hide", "hide"), (AS_OF_MS, AS_OF_MS + 1), (0, 0))
    candidates = recommender.retrieve(UserState("u", recent=recent), context=NOW)
    assert set(candidates.sources) == {"sequence"}
    assert not candidates.cf_scores.any()


def test_history_of_unknown_items_is_none(recommender: Recommender) -> None:
    def encode_padding(*parts: np.ndarray) -> np.ndarray:
        return np.ones((len(parts[0]), 4), dtype=np.float32)

    recommender._encode = encode_padding
    found = recommender.retrieve(user("gone", "also gone"), context=NOW)
    new = recommender.retrieve(UserState("new"), context=NOW)
    assert (found.rows.tolist(), found.sources) == (new.rows.tolist(), new.sources)
    assert not found.sequence_scores.any()


def test_new_items_race_by_what_the_user_likes_them_for(recommender: Recommender) -> None:
    n, most = len(recommender.items), Nominations(sequence=1, cf=1, popular=1)
    likes = np.where(np.arange(n) == n - 1, 1.0, -np.arange(n, dtype=float))
    found = recommender.nominate(user("i0"), cf_scores=np.zeros(n), sequence_scores=likes, most=most)
    fresh = [int(row) for row, source in zip(found.rows, found.sources, strict=True) if source == "fresh"]
    assert len(fresh) > 5
    assert fresh == sorted(fresh, key=lambda row: -likes[row])
    unknown = recommender.nominate(UserState("new"), cf_scores=np.zeros(n), sequence_scores=np.zeros(n), most=most)
    fresh = [int(row) for row, source in zip(unknown.rows, unknown.sources, strict=True) if source == "fresh"]
    published = recommender.items.column(PUBLISHED_MS)[fresh]
    assert published.tolist() == sorted(published, reverse=True)


def test_segment_comes_before_everyone_without_repeats(recommender: Recommender) -> None:
    assert recommender.popular("young").tolist() == [5, 3, 1, 0]
    assert recommender.popular("unheard of").tolist() == [3, 1, 0]
