"""Slates by other policies: what each changes, what none may, and that all are held beside the bundle as it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.narrowness import AS_IT_IS, POLICIES, Policy, answer, compare, long_term
from recloop.clock import MS_PER_HOUR
from recloop.labels import Head
from recloop.recommender import Recommender
from recloop.retrieval import NOMINATIONS, Nominations
from recloop.settings import Settings
from tests.training.kind_recommender import kind_recommender
from training.data.dataset import TrainingSet
from training.data.requests import Request
from training.judging.slates import K, NoRequests, judging_requests, model_slates

Slates = list[list[int]]


@pytest.fixture(scope="module")
def recommender(training_set: TrainingSet) -> Recommender:
    return kind_recommender(training_set.items)


@pytest.fixture(scope="module")
def requests(training_set: TrainingSet) -> list[Request]:
    return judging_requests(training_set, seed=5)


def slates(
    recommender: Recommender, requests: list[Request], settings: Settings, policy: Policy, *, seed: int = 5
) -> Slates:
    own = settings.model_copy(update={"seed": seed})
    return [rows.tolist() for rows in answer(recommender, requests, policy, own)]


@pytest.mark.parametrize(("share", "cf", "sequence"), [(0, 0, 250), (0.2, 50, 200), (1, 250, 0)])
def test_long_term_share_is_of_what_both_models_nominate(share: float, cf: int, sequence: int) -> None:
    assert (NOMINATIONS.cf, NOMINATIONS.sequence) == (100, 150), "what the shares here are of"
    assert long_term(share) == dataclasses.replace(NOMINATIONS, cf=cf, sequence=sequence)


def test_policies_differ_from_each_other_and_the_first_is_the_bundles_own() -> None:
    assert next(iter(POLICIES.items())) == (AS_IT_IS, Policy())
    assert len(set(POLICIES.values())) == len(POLICIES) > 10


def test_bundle_as_it_is_shows_the_models_slates(
    training_set: TrainingSet, recommender: Recommender, requests: list[Request], quick_settings: Settings
) -> None:
    expected = model_slates(recommender, training_set, requests, {Head.CLICK: 1.0})
    assert slates(recommender, requests, quick_settings, Policy()) == [rows.tolist() for rows in expected]


def test_only_what_a_policy_nominates_is_shown(
    recommender: Recommender, requests: list[Request], quick_settings: Settings
) -> None:
    few = Policy(Nominations(sequence=3, cf=0, popular=2, fresh=0))
    shown = slates(recommender, requests, quick_settings, few)
    assert max(map(len, shown)) == 3 + 2
    whole = slates(recommender, requests, quick_settings, Policy())
    assert [rows[:3] for rows in shown] == [rows[:3] for rows in whole]
    assert slates(recommender, requests, quick_settings, Policy()) == whole, "nothing of a policy stays behind"


def test_exploration_shows_other_items_and_the_same_again_with_the_seed(
    recommender: Recommender, requests: list[Request], quick_settings: Settings
) -> None:
    whole, half = (slates(recommender, requests, quick_settings, Policy(exploration=rate)) for rate in (0.0, 0.5))
    n_other = sum(row not in best for best, rows in zip(whole, half, strict=True) for row in rows)
    assert 0.2 < n_other / (K * len(requests)) < 0.5
    assert slates(recommender, requests, quick_settings, Policy(exploration=0.5)) == half
    assert slates(recommender, requests, quick_settings, Policy(exploration=0.5), seed=6) != half


def test_hidden_hours_change_the_taste_but_show_nothing_again(
    recommender: Recommender, requests: list[Request], quick_settings: Settings
) -> None:
    hours = 24 * 7
    # A user's row in the store may be older than the sequence, and have seen less.
    requests = [
        dataclasses.replace(own, user=dataclasses.replace(own.user, seen_items=frozenset())) for own in requests
    ]
    hidden = slates(recommender, requests, quick_settings, Policy(hidden_hours=hours))
    without = [
        dataclasses.replace(
            request,
            user=dataclasses.replace(
                request.user,
                recent=request.user.recent.before(request.context.time_ms - hours * MS_PER_HOUR),
                seen_items=frozenset(request.user.recent.item_ids),
            ),
        )
        for request in requests
    ]
    assert hidden == slates(recommender, without, quick_settings, Policy())
    assert hidden != slates(recommender, requests, quick_settings, Policy())
    for request, rows in zip(requests, hidden, strict=True):
        assert not {recommender.items.ids[row] for row in rows} & {*request.user.recent.item_ids}


def test_every_policy_is_held_beside_the_bundle_as_it_is_on_the_same_requests(
    training_set: TrainingSet, recommender: Recommender, requests: list[Request], quick_settings: Settings
) -> None:
    found = compare(recommender, training_set, quick_settings)
    assert found["n_requests"] == len(requests)
    assert found["policies"].keys() == found["ndcg_per_request"].keys() == POLICIES.keys()
    assert found["policies"][AS_IT_IS]["ndcg_against_as_it_is"] == [0.0, 0.0, 0.0]
    explored = found["policies"]["exploration 0.2"]
    means = {name: np.mean(found["ndcg_per_request"][name]) for name in (AS_IT_IS, "exploration 0.2")}
    mean, low, high = explored["ndcg_against_as_it_is"]
    assert mean == pytest.approx(means["exploration 0.2"] - means[AS_IT_IS])
    assert low < mean < high
    assert explored["diversity_at_10"] > found["policies"][AS_IT_IS]["diversity_at_10"]


def test_days_without_a_request_are_said(
    training_set: TrainingSet, recommender: Recommender, quick_settings: Settings
) -> None:
    split = dataclasses.replace(training_set.split, holdout_ms=training_set.split.end_ms - 1)
    with pytest.raises(NoRequests, match="no slate can be judged"):
        compare(recommender, dataclasses.replace(training_set, split=split), quick_settings)
