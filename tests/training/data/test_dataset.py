"""What a training set tells of a user at a moment is what serving would have read then."""

from __future__ import annotations

import numpy as np

from recloop.sequences import MAX_ACTIONS
from training.data.dataset import TrainingSet


def test_recent_actions_end_strictly_before_the_moment(training_set: TrainingSet) -> None:
    log = training_set.interactions
    row = int(log.starts[3]) + 5
    recent = log.recent(log.user_ids[3], before_ms=int(log.times_ms[row]), items=training_set.items)
    assert len(recent) == 5
    assert recent.times_ms == tuple(log.times_ms[row - 5 : row])


def test_recent_actions_are_the_newest(training_set: TrainingSet) -> None:
    log = training_set.interactions
    user = int(np.argmax(np.diff(log.starts)))
    recent = log.recent(log.user_ids[user], before_ms=2**62, items=training_set.items)
    assert len(recent) == min(MAX_ACTIONS, log.starts[user + 1] - log.starts[user])
    assert recent.times_ms[-1] == log.times_ms[log.starts[user + 1] - 1]


def test_unknown_user_has_no_past(training_set: TrainingSet) -> None:
    log = training_set.interactions
    assert len(log.recent("nobody", before_ms=2**62, items=training_set.items)) == 0
    assert training_set.seen_before("nobody", 2**62) == frozenset()


def test_user_state_holds_what_was_known_then(training_set: TrainingSet) -> None:
    examples = training_set.examples
    row = len(examples) - 1
    state, context = training_set.user_state(row), training_set.context(row)
    assert state.user_id == examples.user_ids[row]
    assert state.as_of_ms is not None
    assert state.as_of_ms <= context.time_ms
    assert max(state.recent.times_ms) < context.time_ms
    assert set(state.recent.item_ids) <= state.seen_items
    assert state.category_weights
    assert max(map(abs, state.category_weights.values())) == 1.0


def test_a_positive_and_its_sampled_negatives_are_one_request(training_set: TrainingSet) -> None:
    examples = training_set.examples
    requests = list(training_set.requests(np.arange(len(examples))))
    assert sum(map(len, requests)) == len(examples)
    with_negatives = [own for own in requests if examples.sampled[own].any()]
    assert with_negatives
    for own in with_negatives:
        assert len(set(examples.user_ids[own])) == len(set(examples.times_ms[own])) == 1
        assert not examples.sampled[own].all()


def test_spans_are_half_open(training_set: TrainingSet) -> None:
    times = training_set.examples.times_ms
    rows = training_set.between(int(times[10]), int(times[20]))
    assert rows[0] <= 10
    assert times[rows[-1]] < times[20]
