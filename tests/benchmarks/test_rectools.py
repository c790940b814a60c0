"""The comparison with RecTools: what is compared with what, and what a run prints."""

from __future__ import annotations

import json
import time

import pytest

from benchmarks.rectools import compare, environment, first_reaching, read_lines, watched_load


def curve(*scores: float, seconds: float, cpu_seconds: float) -> list[dict[str, float]]:
    """Epochs that take the same time each."""
    return [
        {"epoch": epoch, "ndcg_at_10": score, "seconds": epoch * seconds, "cpu_seconds": epoch * cpu_seconds}
        for epoch, score in enumerate(scores, start=1)
    ]


def test_each_target_takes_the_first_epoch_that_reached_it() -> None:
    ours = curve(0.05, 0.13, 0.155, seconds=10, cpu_seconds=15)
    theirs = curve(0.11, 0.10, 0.12, 0.14, seconds=20, cpu_seconds=40)
    compared = compare(ours, theirs)
    # .10 and .12: ours in epoch 2, theirs in 1 and 3; .14: epoch 3 and 4; .15: theirs never.
    assert [(each["ndcg_at_10"], each["ratio"], each["cpu_ratio"]) for each in compared["targets"]] == [
        (0.10, round(20 / 20, 3), round(30 / 40, 3)),
        (0.12, round(20 / 60, 3), round(30 / 120, 3)),
        (0.14, round(30 / 80, 3), round(45 / 160, 3)),
    ]
    assert compared["targets"][2]["rectools"] == {"epoch": 4, "seconds": 80, "cpu_seconds": 160}
    assert compared["best_ndcg_at_10"] == {"recloop": 0.155, "rectools": 0.14}


def test_a_target_is_reached_by_equality_and_never_by_no_epoch() -> None:
    assert first_reaching(curve(0.1, seconds=1, cpu_seconds=1), 0.1) is not None
    assert first_reaching([], 0.1) is None
    assert compare([], [])["targets"] == []


def test_lines_that_are_no_figures_are_passed_over() -> None:
    epochs = curve(0.1, 0.2, seconds=1, cpu_seconds=2)
    lines = ["GPU available: False\n", *(json.dumps(each) + "\n" for each in epochs), '{"test": {"ndcg@10": 0.3}}\n']
    assert read_lines(lines) == (epochs, {"test": {"ndcg@10": 0.3}})


def test_a_run_without_test_figures_is_no_run() -> None:
    from recloop.errors import ComponentUnavailable

    with pytest.raises(ComponentUnavailable, match="found 1 epochs and 0 lines with test figures"):
        read_lines([json.dumps(each) for each in curve(0.1, seconds=1, cpu_seconds=1)])


def test_both_sides_get_as_many_threads() -> None:
    variables = environment(3)
    assert [variables[name] for name in ("RECLOOP_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")] == ["3"] * 3


def test_load_is_watched_to_the_end_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.rectools.SECONDS_BETWEEN_LOADS", 0.001)
    current = [2.0]
    monkeypatch.setattr("os.getloadavg", lambda: (current[0], 0.0, 0.0))
    with watched_load() as loads:
        current[0] = 7.0
        while 7.0 not in loads:
            time.sleep(0.001)
    assert loads[0] == 2
    n = len(loads)
    time.sleep(0.01)
    assert len(loads) == n
