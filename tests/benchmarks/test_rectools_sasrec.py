"""RecTools' side of the comparison: when its seconds count, and how its model is ranked."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.rectools import REQUIREMENTS
from benchmarks.rectools_sasrec import Stopwatch, rank_targets
from training.retrieval.item_sequences import ItemSequences

IMPORTED = """
import sys
from importlib.metadata import packages_distributions

before = set(sys.modules)
import benchmarks.rectools_sasrec

names = {name.partition(".")[0] for name in set(sys.modules) - before}
owners = packages_distributions()
print(*{owner.lower().replace("_", "-") for name in names for owner in owners.get(name, ())})
"""


def test_environment_of_its_own_has_what_it_imports() -> None:
    """It runs recloop's reader and metrics where recloop's own packages are not."""
    imported = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True).stdout
    assert "numpy" in imported.split()
    installed = {line.partition("==")[0] for line in REQUIREMENTS.read_text().splitlines()}
    assert set(imported.split()) - {"recloop"} <= installed


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
