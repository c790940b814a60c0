"""What a step of training costs: seconds per part, and the most memory held."""

from __future__ import annotations

import ctypes
import gc
import logging
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LOG = logging.getLogger(__name__)


class Stopwatch:
    """Seconds per part of a run; a part that comes again adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.throughput: dict[str, Mapping[str, float]] = {}
        """Of each model that torch trains; see `training.throughput`."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a part and say that it began."""
        LOG.info("%s …", name)
        started = time.monotonic()
        yield
        gc.collect()
        trim_memory()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 1)
        held, most = memory_mb(), peak_memory_mb()
        LOG.info("%s took %.1f s; %.0f MB held, %.0f MB at most so far", name, self.seconds[name], held, most)


class RunCosts:
    """Seconds and most memory of a run, with what it took in earlier processes until the checkpoint it goes on from."""

    def __init__(self) -> None:
        self._started, self._cpu_started = time.monotonic(), time.process_time()
        self._before: Mapping[str, float] = {}

    def go_on_from(self, before: Mapping[str, float]) -> None:
        """Take in what `to_dict` gave in an earlier process."""
        self._before = before

    def to_dict(self) -> dict[str, float]:
        """Return the costs so far; this process counts from when the object was made."""
        seconds, cpu_seconds = time.monotonic() - self._started, time.process_time() - self._cpu_started
        return {
            "seconds": round(self._before.get("seconds", 0.0) + seconds, 1),
            "cpu_seconds": round(self._before.get("cpu_seconds", 0.0) + cpu_seconds, 1),
            "peak_memory_mb": max(self._before.get("peak_memory_mb", 0.0), peak_memory_mb()),
        }


def trim_memory() -> None:
    """Give freed memory back to the system, where the C library can: parts of very different sizes leave gaps."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def memory_mb() -> float:
    """Return the memory this process holds now; what it held at most where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_memory_mb()
    return round(pages * resource.getpagesize() / 2**20, 1)


def peak_memory_mb() -> float:
    """Return the most memory this process has held."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
