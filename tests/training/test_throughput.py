"""What a run's steps are said to have cost."""

from __future__ import annotations

import time

import pytest

from training import throughput
from training.throughput import Meter, Steps


@pytest.mark.slow
def test_operations_are_those_of_the_matrices() -> None:
    import torch

    meter, weights = Meter("cpu"), torch.ones(6, 7, requires_grad=True)
    for _ in range(throughput.COUNTED_STEPS + 3):
        with meter.step(5):
            (torch.ones(5, 6) @ weights).sum().backward()  # type: ignore[no-untyped-call]
            time.sleep(0.002)
    found = meter.to_dict()
    # Forward and the gradient of the weights: two products of 5 x 6 by 7, each a multiplication and an addition.
    assert found["gflops_per_s"] * 1e9 == pytest.approx(found["samples_per_s"] / 5 * 2 * 2 * 5 * 6 * 7, rel=0.01)
    assert 0 < found["samples_per_s"] < 5 / 0.002
    assert not {"mfu", "device_seconds"} & found.keys(), "those are of CUDA"


@pytest.mark.slow
def test_a_run_of_a_few_steps_has_no_rates() -> None:
    meter = Meter("cpu")
    for _ in range(throughput.COUNTED_STEPS):
        with meter.step(5):
            pass
    assert meter.to_dict() == {}


@pytest.mark.slow
def test_a_run_in_two_processes_adds_up() -> None:
    first, second = Meter("cpu"), Meter("cpu")
    for _ in range(throughput.COUNTED_STEPS + 2):
        with first.step(5):
            time.sleep(0.002)
    second.load_state_dict(first.state_dict())
    assert second.to_dict() == first.to_dict() != {}
    with second.step(7):
        pass
    state = second.state_dict()
    assert (state["counted"], state["samples"]) == (throughput.COUNTED_STEPS, 2 * 5 + 7)


@pytest.mark.parametrize(
    ("gpu", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA A10G", 125e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
    ],
)
def test_utilisation_is_of_what_the_device_can_do(gpu: str, peak: float) -> None:
    # 2e11 operations of 100 counted samples; 3,000 samples in 6 s: 2e9 a sample, 500 samples a second
    steps = Steps(4, 100, flops=200_000_000_000, samples=3_000, seconds=6.0, device_seconds=4.5, device_peak_mb=2_048.0)
    assert steps.rates(gpu) == {
        "samples_per_s": 500.0,
        "gflops_per_s": 1_000.0,
        "device_seconds": 4.5,
        "device_peak_mb": 2_048.0,
        "mfu": pytest.approx(1e12 / peak, rel=1e-3),
    }


def test_device_of_unknown_peak_has_no_utilisation_and_the_cpu_no_device_time() -> None:
    steps = Steps(4, 100, flops=200, samples=3_000, seconds=6.0, device_seconds=4.5)
    assert steps.rates("Some GPU").keys() == {"samples_per_s", "gflops_per_s", "device_seconds", "device_peak_mb"}
    assert steps.rates().keys() == {"samples_per_s", "gflops_per_s"}
