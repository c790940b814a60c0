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
