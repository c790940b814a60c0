"""Retrieval, filtering and ranking over a tiny catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from recloop.labels import Head
from recloop.ranking import Context, UserState
from recloop.recommend import FoldIn, Nominations, Recommender, calibrated, cf_weight
from recloop.sequences import RecentActions
from recloop.training_set import PUBLISHED_MS
from tests.recloop.conftest import AS_OF_MS, N_ITEMS

NOW = Context(AS_OF_MS + 5_000)


def user(*item_ids: str, **fields: object) -> UserState:
    n = len(item_ids)
    recent = RecentActions(item_ids, ("save",) * n, tuple(AS_OF_MS + place for place in range(n)), (0,) * n)
    return UserState("u", recent=recent, **fields)  # type: ignore[arg-type]


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


def test_calibration_interpolates_and_clips() -> None:
    curve = calibrated(lambda matrix: matrix[:, 0], {"x": [0.2, 0.4], "y": [0.0, 1.0]})
    assert curve(np.array([[0.1], [0.3], [0.9]], dtype=np.float32)) == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)
