"""The comparison with RecTools: what is compared with what, what a run prints, and how its model is ranked."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.rectools import compare, environment, first_reaching, read_lines, watched_load
from benchmarks.rectools_sasrec import Stopwatch, rank_targets
from training.retrieval.item_sequences import ItemSequences


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
    assert [variables[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")] == ["3", "3"]


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


def test_stopwatch_counts_only_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([10.0, 12.0, 100.0, 105.0])
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    watch = Stopwatch()
    for _ in range(2):
        watch.start()
        watch.stop()
    assert watch.seconds == (12 - 10) + (105 - 100)


def test_items_without_a_vector_rank_last_and_are_left_out_of_the_history() -> None:
    import torch

    seen: list[list[int]] = []

    def encode_sessions(batch: dict[str, Any], vectors: Any) -> Any:
        seen.extend(batch["x"].tolist())
        return torch.ones(*batch["x"].shape, 1)

    # RecTools' codes: 0 padding, 1 to 3 for rows 4, 0 and 2; rows 1 and 3 were in no training sequence.
    net = SimpleNamespace(
        encode_sessions=encode_sessions,
        item_model=SimpleNamespace(get_all_embeddings=lambda: torch.tensor([[0.0], [3.0], [2.0], [1.0]])),
    )
    net.eval = lambda: net
    prepared = SimpleNamespace(
        get_known_item_ids=lambda: np.array([4, 0, 2], dtype=object),
        get_known_items_sorted_internal_ids=lambda: np.array([1, 2, 3]),
    )
    model = SimpleNamespace(torch_model=net, data_preparator=prepared, session_max_len=2)
    items = (np.array([1, 0]), np.array([0]), np.array([2, 4, 0]))
    sequences = ItemSequences(("a", "b", "c"), tuple("01234"), items)
    ranks = rank_targets(model, sequences, np.array([2, 3, 1]))
    assert seen == [[0, 2], [0, 2], [1, 2]]
    # Row 2 is below row 4; row 3 is below rows 4 and 2 and ties with row 1; row 1 ties with row 3.
    assert ranks.tolist() == [1, 2 + 0.5, 0.5]
