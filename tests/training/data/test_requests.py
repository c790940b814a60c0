"""Requests drawn from the log: the past is the user's state, the future the outcome, and nothing is both."""

from __future__ import annotations

import pytest

from recloop.labels import Head
from training.data.dataset import TrainingSet
from training.data.requests import Request, sample_requests


@pytest.fixture(scope="module")
def requests(training_set: TrainingSet) -> list[Request]:
    split = training_set.split
    return sample_requests(training_set, start_ms=split.holdout_ms, end_ms=split.end_ms, n_users=20, per_user=3, seed=1)


def test_limits_hold(training_set: TrainingSet, requests: list[Request]) -> None:
    users = [request.user.user_id for request in requests]
    assert len(set(users)) == 20
    assert max(map(users.count, users)) == 3
    times = [request.context.time_ms for request in requests]
    assert times == sorted(times)
    assert training_set.split.holdout_ms <= times[0]


def test_outcomes_are_new_and_come_later(training_set: TrainingSet, requests: list[Request]) -> None:
    log, items = training_set.interactions, training_set.items
    for request in requests:
        rows = log.span(request.user.user_id)
        later = {
            items.ids[item]
            for item, time in zip(log.items[rows], log.times_ms[rows], strict=True)
            if time >= request.context.time_ms
        }
        relevant = {items.ids[row] for row in request.relevant}
        assert relevant
        assert relevant <= later
        assert not relevant & request.user.seen_items


def test_a_hidden_item_is_not_relevant(requests: list[Request]) -> None:
    hidden = [set(request.outcomes[Head.HIDE]) & set(request.relevant) for request in requests]
    assert any(len(request.outcomes[Head.HIDE]) for request in requests)
    assert not any(hidden)


def test_same_seed_draws_the_same(training_set: TrainingSet, requests: list[Request]) -> None:
    split = training_set.split
    span = {"start_ms": split.holdout_ms, "end_ms": split.end_ms, "n_users": 20, "per_user": 3}
    again = sample_requests(training_set, **span, seed=1)
    other = sample_requests(training_set, **span, seed=2)
    assert [(each.user.user_id, each.context) for each in again] == [
        (each.user.user_id, each.context) for each in requests
    ]
    assert [each.context for each in other] != [each.context for each in requests]
