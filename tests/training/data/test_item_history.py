"""Item numbers at a moment: the newest row that an example had by then, never one from later."""

from __future__ import annotations

import numpy as np

from training.data.dataset import TrainingSet
from training.data.item_history import ItemHistory


def test_known_numbers_are_the_newest_of_before(training_set: TrainingSet) -> None:
    examples, history = training_set.examples, ItemHistory(training_set)
    rows = np.flatnonzero(~np.isnan(examples.item_as_of_ms))
    for row in rows[:: len(rows) // 50]:
        item, now = int(examples.items[row]), int(examples.times_ms[row])
        found, numbers, as_of_ms = history.known(np.array([item]), now)
        assert found[0]
        assert as_of_ms[0] == examples.item_as_of_ms[row]
        np.testing.assert_array_equal(numbers[0, :-2], examples.item_numbers[row])


def test_nothing_is_known_before_the_first_example(training_set: TrainingSet) -> None:
    found, _, _ = ItemHistory(training_set).known(np.arange(10), int(training_set.examples.times_ms[0]) - 1)
    assert not found.any()


def test_feature_time_never_lies_ahead(training_set: TrainingSet) -> None:
    history = ItemHistory(training_set)
    for now in np.quantile(training_set.examples.times_ms, [0.1, 0.5, 0.9]).astype(int):
        found, _, as_of_ms = history.known(np.arange(len(training_set.items)), int(now))
        assert found.any()
        assert (as_of_ms[found] <= now).all()
