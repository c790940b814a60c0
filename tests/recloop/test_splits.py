from __future__ import annotations

import pytest

from recloop.errors import TrainingError
from recloop.splits import split_by_time


def test_three_spans_follow_one_another() -> None:
    split = split_by_time(range(1_000), end_ms=1_000)
    assert (split.start_ms, split.stack_ms, split.holdout_ms, split.end_ms) == (0, 750, 900, 1_000)


def test_events_at_or_after_the_end_do_not_count() -> None:
    assert split_by_time(range(2_000), end_ms=1_000) == split_by_time(range(1_000), end_ms=1_000)


def test_too_few_events_are_said() -> None:
    with pytest.raises(TrainingError, match="99 events"):
        split_by_time(range(99), end_ms=1_000)


def test_log_of_one_moment_cannot_be_cut() -> None:
    with pytest.raises(TrainingError, match="same moment"):
        split_by_time([5] * 500, end_ms=1_000)
