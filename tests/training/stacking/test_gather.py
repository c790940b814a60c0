"""Which rows the stack learns from, and what its retrieval may know of popularity."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.dataset import TrainingSet
from training.stacking import gather
from training.stacking.gather import popular_at, stack_examples
from training.stacking.rows import shown


def test_popularity_knows_nothing_of_later(training_set: TrainingSet) -> None:
    log = training_set.interactions
    first = int(log.times_ms.min())
    assert len(popular_at(training_set, first)) == 0
    early, late = popular_at(training_set, first + 86_400_000), popular_at(training_set, training_set.split.end_ms)
    before = set(log.items[log.times_ms < first + 86_400_000].tolist())
    assert 0 < len(early) < len(late)
    assert set(early.tolist()) <= before


def test_where_nothing_was_shown_what_was_met_and_sampled_is_learned_from(training_set: TrainingSet) -> None:
    split = training_set.split
    examples = training_set.between(split.stack_ms, split.end_ms)
    assert not shown(training_set, examples).any()
    np.testing.assert_array_equal(stack_examples(training_set, split.stack_ms, split.end_ms), examples)


def test_where_something_was_shown_nothing_else_is_learned_from(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = training_set.split
    examples = training_set.between(split.stack_ms, split.end_ms)
    monkeypatch.setattr(gather, "shown", lambda _, rows: rows % 3 == 0)
    expected = examples[examples % 3 == 0]
    np.testing.assert_array_equal(stack_examples(training_set, split.stack_ms, split.end_ms), expected)


def test_of_too_many_the_newest_are_learned_from(training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    split = training_set.split
    monkeypatch.setattr(gather, "MAX_EXAMPLE_ROWS", 7)
    kept = stack_examples(training_set, split.stack_ms, split.end_ms)
    np.testing.assert_array_equal(kept, training_set.between(split.stack_ms, split.end_ms)[-7:])
