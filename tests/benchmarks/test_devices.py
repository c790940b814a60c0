"""What `benchmarks.devices` measures of one case."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from benchmarks.devices import MIN_STEPS, Case, measure, padding_of_windows, there, transformer_trainer
from training.data.dataset import TrainingSet
from training.retrieval.windows import Windows, make_windows

pytestmark = pytest.mark.slow


def test_every_device_of_this_machine_has_its_rates(training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from training.retrieval.sequence_model import Shape

    for device in MIN_STEPS:
        monkeypatch.setitem(MIN_STEPS, device, 6)
    split = training_set.split
    windows = make_windows(training_set, start_ms=split.start_ms, end_ms=split.stack_ms)
    small = Shape(n_dimensions=8, n_layers=1)
    monkeypatch.setattr("benchmarks.devices.TURNS", 2)
    make = partial(transformer_trainer, windows, len(training_set.items), small, 4)
    found = measure(Case("small", make, padding_of_windows(windows, 4)), there(), backend="eager")
    assert found["cpu"]["samples_per_s"] > 0
    assert found["cpu"]["gflops_per_s"] > 0
    assert found["cpu"]["compiled"]["gain"] > 0
    assert len(found["cpu"]["compiled"]["plain_seconds"]) == 2
    assert 0 < found["padding"] < 0.5
    assert found.keys() == {"padding", "cpu"} | ({"cuda", "ratio"} if torch.cuda.is_available() else set())


def test_padding_is_what_the_longest_of_a_batch_has_more() -> None:
    # places: 2 x 2 and 3 x 2, of which 1 + 2 and 3 + 3 hold an action
    items = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]])
    assert padding_of_windows(Windows(items, items, items, items), 2) == pytest.approx(0.1)
