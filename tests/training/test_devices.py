"""What `benchmarks.devices` measures of one case."""

from __future__ import annotations

from functools import partial

import pytest

from benchmarks.devices import MIN_STEPS, Case, measure, transformer_trainer
from training.data.dataset import TrainingSet
from training.retrieval.windows import make_windows

pytestmark = pytest.mark.slow


def test_every_device_of_this_machine_has_its_rates(training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from training.retrieval.sequence_model import Shape

    for device in MIN_STEPS:
        monkeypatch.setitem(MIN_STEPS, device, 6)
    split = training_set.split
    windows = make_windows(training_set, start_ms=split.start_ms, end_ms=split.stack_ms)
    small = Shape(n_dimensions=8, n_layers=1)
    found = measure(Case("small", partial(transformer_trainer, windows, len(training_set.items), small, 4)))
    assert found["cpu"]["samples_per_s"] > 0
    assert found["cpu"]["gflops_per_s"] > 0
    assert found.keys() == ({"cpu", "cuda", "ratio"} if torch.cuda.is_available() else {"cpu"})
