"""Training windows: what is input, what is target, and where padding lies."""

from __future__ import annotations

import dataclasses

import numpy as np

from recloop.sequences import ACTION_CODES, MAX_ACTIONS
from training.data.dataset import Interactions, TrainingSet
from training.retrieval.windows import make_windows

CODES = {str(action): code for action, code in ACTION_CODES.items()}


def with_log(training_set: TrainingSet, *actions: tuple[int, str, int]) -> TrainingSet:
    """Return the set with the log of one user: (item, action, seconds)."""
    items, names, seconds = zip(*actions, strict=True)
    log = Interactions(
        user_ids=("u",), starts=np.array([0, len(items)]), items=np.array(items),
        actions=np.array([CODES[name] for name in names]), times_ms=np.array(seconds) * 1_000,
        dwell_ms=np.zeros(len(items), dtype=np.int64), index={"u": 0},
    )  # fmt: skip
    return dataclasses.replace(training_set, interactions=log)


def test_targets_are_the_next_liked_items(training_set: TrainingSet) -> None:
    small = with_log(training_set, (4, "save", 0), (5, "hide", 10), (6, "click", 20), (7, "save", 40))
    windows = make_windows(small, start_ms=0, end_ms=10**9)
    assert len(windows) == 1
    assert windows.items[0, -3:].tolist() == [5, 6, 7]
    assert windows.targets[0, -3:].tolist() == [0, 7, 8]  # the hide is an input, no target
    assert windows.gaps[0, -3:].tolist() == [6, 5, 5]  # 40, 30, 20 s before the last: 1 + floor(log2)
    assert not windows.items[0, :-3].any()


def test_several_events_of_one_view_are_one_target(training_set: TrainingSet) -> None:
    small = with_log(training_set, (4, "save", 0), (5, "view", 9), (5, "click", 9), (4, "save", 20), (6, "save", 30))
    windows = make_windows(small, start_ms=0, end_ms=10**9)
    # 5 was clicked in the moment it was viewed; 4 was there before; the second event of 5 repeats it.
    assert windows.targets[0, -4:].tolist() == [6, 0, 0, 7]


def test_span_bounds_are_half_open(training_set: TrainingSet) -> None:
    small = with_log(training_set, (4, "save", 0), (5, "save", 10), (6, "save", 20), (7, "save", 30))
    windows = make_windows(small, start_ms=20_000, end_ms=30_000)
    assert windows.targets[0, -2:].tolist() == [0, 7]


def test_each_action_of_a_long_log_is_a_target_once(training_set: TrainingSet) -> None:
    n = 2 * MAX_ACTIONS + 37
    log = [(place % 60, "save", place) for place in range(n)]
    windows = make_windows(with_log(training_set, *log), start_ms=0, end_ms=10**9)
    assert len(windows) == 3
    assert (windows.items > 0).sum() == n - 1


def test_some_windows_are_those_asked_for(training_set: TrainingSet) -> None:
    windows = make_windows(training_set, start_ms=0, end_ms=training_set.split.stack_ms)
    part = windows.take(np.array([4, 1]))
    for own, whole in zip(part.parts, windows.parts, strict=True):
        assert own.tolist() == whole[[4, 1]].tolist()
    assert part.lengths.tolist() == [np.count_nonzero(windows.items[row]) for row in (4, 1)]


def test_a_user_with_one_action_gives_no_window(training_set: TrainingSet) -> None:
    assert len(make_windows(with_log(training_set, (4, "save", 0)), start_ms=0, end_ms=10**9)) == 0
