"""Slates as they are judged: what is shown, what counts as right, and the sums behind the report."""

from __future__ import annotations

import dataclasses
from math import log2

import numpy as np
import pytest

from recloop.labels import Head
from recloop.metrics import ndcg_at_k
from recloop.ranking import Items, UserState
from recloop.recommender import Recommender
from recloop.settings import Settings
from tests.training.kind_recommender import LACKED, kind_recommender
from training.data.dataset import TrainingSet
from training.data.requests import Request
from training.judging.slates import (
    BATCH,
    BY_SEGMENT,
    MODEL,
    POPULARITY,
    K,
    NoRequests,
    in_bundle,
    item_shares,
    judge_slates,
    judging_requests,
    measure,
    model_slates,
)


def items_of(n: int) -> Items:
    return Items(
        ids=tuple(f"i{row}" for row in range(n)), titles=("",) * n, categories=(("a",), ("a", "b"), ("c",), ())[:n],
        authors=(None,) * n, numbers=np.zeros((n, 0)), as_of_ms=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def recommender(training_set: TrainingSet) -> Recommender:
    return kind_recommender(training_set.items)


@pytest.fixture(scope="module")
def requests(training_set: TrainingSet) -> list[Request]:
    return judging_requests(training_set, seed=5)


def test_metrics_are_means_over_the_slates() -> None:
    slates, relevant = [np.array([0, 1]), np.array([2, 0])], [np.array([1]), np.array([3, -1])]
    ndcg, means = measure(slates, relevant, np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8]), items_of(4))
    # The first has its one relevant item at the second place; the second neither of its two.
    assert ndcg == pytest.approx([1 / log2(3), 0])
    assert means == pytest.approx(
        {
            f"ndcg_at_{K}": (1 / log2(3) + 0) / 2,
            f"map_at_{K}": (1 / 2 + 0) / 2,
            f"precision_at_{K}": (1 / K + 0) / 2,
            f"recall_at_{K}": (1 / 1 + 0 / 2) / 2,
            f"coverage_at_{K}": 3 / 4,
            f"novelty_at_{K}": (1 + 2 + 3 + 1) / 4,
            # {a} and {a, b} have one of two in common; {c} and {a} none
            f"diversity_at_{K}": (1 / 2 + 1) / 2,
        }
    )


def test_relevant_item_that_the_bundle_lacks_counts_as_missed(
    training_set: TrainingSet, recommender: Recommender
) -> None:
    wanted = np.array([training_set.items.index[item_id] for item_id in ("i05", LACKED)])
    user, context = UserState("u"), training_set.context(0)
    outcomes = {head: np.empty(0, dtype=np.int64) for head in Head} | {Head.CLICK: wanted}
    found = in_bundle(recommender, training_set, Request(user, context, outcomes))
    assert sorted(found.tolist()) == sorted([-1, recommender.items.index["i05"]])
    _, means = measure([found[found >= 0]], [found], np.ones(len(recommender.items)), recommender.items)
    assert means[f"recall_at_{K}"] == 1 / 2


def test_share_of_an_item_counts_what_was_done_before_the_holdout(
    training_set: TrainingSet, recommender: Recommender
) -> None:
    log = training_set.interactions
    names = [training_set.items.ids[item] for item in log.items[log.times_ms < training_set.split.holdout_ms]]
    assert 0 < names.count(LACKED) < len(names) < len(log.items)
    # One more for each of the bundle's items, so that none is infinitely novel.
    total = len(names) - names.count(LACKED) + len(recommender.items)
    expected = [(names.count(item_id) + 1) / total for item_id in recommender.items.ids]
    assert item_shares(recommender, training_set) == pytest.approx(expected)


def test_models_slate_is_the_best_of_what_it_scores_for_that_request_alone(
    training_set: TrainingSet, recommender: Recommender, requests: list[Request]
) -> None:
    assert len(requests) > BATCH
    slates = model_slates(recommender, training_set, requests, {Head.CLICK: 1.0})
    for request, slate in list(zip(requests, slates, strict=True))[:: BATCH // 4]:
        scored = recommender.score(request.user, context=request.context)
        best = np.argsort(-scored.heads[Head.CLICK], kind="stable")[:K]
        assert slate.tolist() == scored.candidates.rows[best].tolist()
        seen = {*request.user.seen_items, *request.user.recent.item_ids}
        assert len(slate) == K
        assert not seen & {recommender.items.ids[row] for row in slate}


def test_head_that_costs_turns_the_order_round(
    training_set: TrainingSet, recommender: Recommender, requests: list[Request]
) -> None:
    for weights, sign in (({Head.CLICK: 1.0}, -1), ({Head.CLICK: -1.0}, 1)):
        (slate,) = model_slates(recommender, training_set, requests[:1], {str(head): w for head, w in weights.items()})
        (scores,) = recommender.batch_scores([(requests[0].user, requests[0].context)])[1]
        assert slate.tolist() == sorted(slate.tolist(), key=lambda row: sign * scores[row])


def test_all_three_kinds_of_slates_are_judged_on_the_same_requests(
    training_set: TrainingSet, recommender: Recommender, quick_settings: Settings
) -> None:
    found = judge_slates(recommender, training_set, settings=quick_settings)
    assert found.ndcg.keys() == {MODEL, POPULARITY, BY_SEGMENT}
    n = len(found.user_ids)
    assert (found.offline["n_requests"], found.offline["n_users"]) == (n, len(set(found.user_ids)))
    assert {len(own) for own in [*found.ndcg.values(), *found.slices.values()]} == {n}
    for name, own in found.ndcg.items():
        assert found.offline[name][f"ndcg_at_{K}"] == pytest.approx(own.mean())
    # Each user of the log likes one kind of items, which the model knows and popularity does not.
    low, high = found.offline["ndcg_difference_interval"]
    assert 0 < low < found.ndcg[MODEL].mean() - found.ndcg[POPULARITY].mean() < high
    assert found.ndcg[POPULARITY].tolist() != found.ndcg[BY_SEGMENT].tolist()


def test_popular_items_that_a_user_has_seen_are_not_shown_again(
    training_set: TrainingSet, recommender: Recommender, requests: list[Request], quick_settings: Settings
) -> None:
    found = judge_slates(recommender, training_set, settings=quick_settings)
    assert found.user_ids == [request.user.user_id for request in requests]
    unseen = [
        [row for row in recommender.popular(None) if recommender.items.ids[row] not in request.user.seen_items][:K]
        for request in requests
    ]
    hits = [
        np.isin(slate, in_bundle(recommender, training_set, request)).tolist()
        for slate, request in zip(unseen, requests, strict=True)
    ]
    assert found.ndcg[POPULARITY].tolist() == [
        ndcg_at_k(own, K, n_relevant=len(request.relevant)) for own, request in zip(hits, requests, strict=True)
    ]


def test_span_in_which_nobody_liked_anything_new_has_no_slate_to_judge(
    training_set: TrainingSet, recommender: Recommender, quick_settings: Settings
) -> None:
    split = dataclasses.replace(training_set.split, holdout_ms=training_set.split.end_ms - 1)
    with pytest.raises(NoRequests, match="no moment after which a user liked something new"):
        judge_slates(recommender, dataclasses.replace(training_set, split=split), settings=quick_settings)
