from __future__ import annotations

import pytest

from training.costs import Stopwatch, peak_memory_mb


def test_a_part_is_timed_under_its_name() -> None:
    watch = Stopwatch()
    with watch.part("read"):
        pass
    assert watch.seconds.keys() == {"read"}
    assert 0 <= watch.seconds["read"] < 5


def test_a_part_that_fails_is_not_reported() -> None:
    watch = Stopwatch()
    with pytest.raises(ValueError, match="bad"), watch.part("read"):
        raise ValueError("bad")
    assert not watch.seconds


def test_peak_memory_never_falls() -> None:
    before = peak_memory_mb()
    data = bytes(100 << 20)
    during = peak_memory_mb()
    del data
    assert before > 10
    assert peak_memory_mb() >= during >= before
