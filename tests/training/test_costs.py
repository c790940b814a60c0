from __future__ import annotations

import pytest

from training.costs import RunCosts, Stopwatch, peak_memory_mb


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


def test_a_run_counts_what_it_took_before(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, cpu = iter([100.0, 107.0]), iter([3.0, 8.5])
    monkeypatch.setattr("time.monotonic", lambda: next(wall))
    monkeypatch.setattr("time.process_time", lambda: next(cpu))
    costs = RunCosts()
    costs.go_on_from({"seconds": 60.0, "cpu_seconds": 90.0, "peak_memory_mb": 1e6})
    assert costs.to_dict() == {"seconds": 60.0 + 7, "cpu_seconds": 90.0 + 5.5, "peak_memory_mb": 1e6}


def test_a_run_that_goes_on_from_nothing_counts_its_own() -> None:
    found = RunCosts().to_dict()
    assert 0 <= found["seconds"] < 5
    assert found["peak_memory_mb"] == pytest.approx(peak_memory_mb(), rel=0.1)
