"""What a run's steps are said to have cost."""

from __future__ import annotations

import time

import pytest

from training.throughput import COUNTED_STEPS, Meter

pytestmark = pytest.mark.slow


def test_operations_are_those_of_the_matrices() -> None:
    import torch

    meter, weights = Meter("cpu"), torch.ones(6, 7, requires_grad=True)
    for _ in range(COUNTED_STEPS + 3):
        with meter.step(5):
            (torch.ones(5, 6) @ weights).sum().backward()  # type: ignore[no-untyped-call]
            time.sleep(0.002)
    found = meter.to_dict()
    # Forward and the gradient of the weights: two products of 5 x 6 by 7, each a multiplication and an addition.
    assert found["gflops_per_s"] * 1e9 == pytest.approx(found["samples_per_s"] / 5 * 2 * 2 * 5 * 6 * 7, rel=0.01)
    assert 0 < found["samples_per_s"] < 5 / 0.002
    assert not {"mfu", "device_seconds"} & found.keys(), "those are of CUDA"


def test_a_run_of_a_few_steps_has_no_rates() -> None:
    meter = Meter("cpu")
    for _ in range(COUNTED_STEPS):
        with meter.step(5):
            pass
    assert meter.to_dict() == {}
