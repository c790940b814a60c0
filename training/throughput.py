"""What learning asks of its device: samples and floating-point operations per second; on CUDA its time and memory too.

In: a trainer's steps. Out: numbers for the manifest and MLflow. Operations are counted by torch on the first steps of
a run, which take no part in the times, and taken to be alike in the others: mini-batches come in random order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

COUNTED_STEPS = 4
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "T4": 65e12}
"""Dense bf16 operations per second (T4: fp16) by NVIDIA's data sheets, for the utilisation of a known device."""


class Meter:
    """Adds up a run's steps."""

    def __init__(self, device: str) -> None:
        self._on_cuda = device == "cuda"
        self._counted = self._counted_samples = self._flops = 0
        self._samples, self._seconds = 0, 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def step(self, n_samples: int) -> Iterator[None]:
        """Measure one step of learning: forward, backward and update."""
        if self._counted < COUNTED_STEPS:
            from torch.utils.flop_counter import FlopCounterMode

            with FlopCounterMode(display=False) as counter:
                yield
            self._counted += 1
            self._counted_samples += n_samples
            self._flops += counter.get_total_flops()
            return
        started = time.monotonic()
        with self._device_time():
            yield
        self._samples += n_samples
        self._seconds += time.monotonic() - started

    def to_dict(self) -> dict[str, float]:
        """Return the rates, of whatever was measured: nothing for a run of a few steps.

        `mfu` is the share of the device's peak that the model's own operations make up (PaLM, Chowdhery et al. 2022,
        appendix B); `device_seconds` lie between the first and the last kernel of each step.
        """
        if not self._seconds:
            return {}
        rate = self._samples / self._seconds
        flops = self._flops / self._counted_samples * rate
        found = {"samples_per_s": _short(rate), "gflops_per_s": _short(flops / 1e9)}
        return found | self._of_cuda(flops) if self._on_cuda else found

    @contextmanager
    def _device_time(self) -> Iterator[None]:
        if not self._on_cuda:
            yield
            return
        import torch

        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        yield
        last.record()
        self._events.append((first, last))

    def _of_cuda(self, flops: float) -> dict[str, float]:
        import torch

        torch.cuda.synchronize()
        name = torch.cuda.get_device_name()
        found = {
            "device_seconds": _short(sum(first.elapsed_time(last) for first, last in self._events) / 1_000),
            "device_peak_mb": _short(torch.cuda.max_memory_allocated() / 2**20),
        }
        peaks = [peak for part, peak in PEAK_FLOPS.items() if part in name]
        return found | ({"mfu": _short(flops / peaks[0])} if peaks else {})


def _short(number: float) -> float:
    return float(f"{number:.4g}")
