"""What learning asks of its device: samples and floating-point operations per second; on CUDA its time and memory too.

In: a trainer's steps. Out: numbers for the manifest and MLflow. Operations are counted by torch on the first steps of
a run, which take no part in the times, and taken to be alike in the others: mini-batches come in random order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

COUNTED_STEPS = 4
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "T4": 65e12}
"""Dense bf16 operations per second (T4: fp16) by NVIDIA's data sheets, for the utilisation of a known device; the first
name that is part of the device's own counts."""


@dataclass
class Steps:
    """What a run's steps add up to; the `counted` ones told the operations and are not in the times."""

    counted: int = 0
    counted_samples: int = 0
    flops: int = 0
    samples: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    device_peak_mb: float = 0.0

    def rates(self, gpu: str = "") -> dict[str, float]:
        """Return the rates, of whatever was measured: nothing for a run of a few steps.

        `mfu` is the share of the device's peak that the model's own operations make up (PaLM, Chowdhery et al. 2022,
        appendix B); `device_seconds` lie between the first and the last kernel of each step.

        Args:
            gpu: name of the device if it is one, as CUDA has it.
        """
        if not self.seconds:
            return {}
        rate = self.samples / self.seconds
        flops = self.flops / self.counted_samples * rate
        found = {"samples_per_s": rate, "gflops_per_s": flops / 1e9}
        if gpu:
            found |= {"device_seconds": self.device_seconds, "device_peak_mb": self.device_peak_mb}
            peaks = [peak for part, peak in PEAK_FLOPS.items() if part in gpu]
            found |= {"mfu": flops / peaks[0]} if peaks else {}
        return {name: float(f"{number:.4g}") for name, number in found.items()}


class Meter:
    """Adds up a run's steps, over all processes that the run took."""

    def __init__(self, device: str) -> None:
        self._on_cuda = device == "cuda"
        self._steps = Steps()
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def step(self, n_samples: int) -> Iterator[None]:
        """Measure one step of learning: forward, backward and update."""
        steps = self._steps
        if steps.counted < COUNTED_STEPS:
            from torch.utils.flop_counter import FlopCounterMode

            with FlopCounterMode(display=False) as counter:
                yield
            steps.counted += 1
            steps.counted_samples += n_samples
            steps.flops += counter.get_total_flops()
            return
        started = time.monotonic()
        with self._device_time():
            yield
        steps.samples += n_samples
        steps.seconds += time.monotonic() - started

    def state_dict(self) -> dict[str, Any]:
        """Return what a model checkpoint holds of the steps so far."""
        if self._on_cuda:
            self._add_device()
        return asdict(self._steps)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the steps of an earlier process."""
        self._steps = Steps(**state)

    def to_dict(self) -> dict[str, float]:
        """Return the rates; see `Steps.rates`."""
        if not self._on_cuda:
            return self._steps.rates()
        import torch

        self._add_device()
        return self._steps.rates(torch.cuda.get_device_name())

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

    def _add_device(self) -> None:
        import torch

        torch.cuda.synchronize()
        self._steps.device_seconds += sum(first.elapsed_time(last) for first, last in self._events) / 1_000
        self._events.clear()
        self._steps.device_peak_mb = max(self._steps.device_peak_mb, torch.cuda.max_memory_allocated() / 2**20)
