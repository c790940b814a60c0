"""The memory of everything together: the shared-out memory (PSS) of every process of the stack, sampled in a thread."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import psutil

SAMPLE_SECONDS = 2.0
MIB = 1024**2
STACK_MARK = "RECLOOP_VAR_DIR"
"""Every component is started with this setting in its environment, and hands it on to what it starts."""


class MemoryWatch:
    """Remembers the highest sum seen; use as a context."""

    def __init__(self, var_dir: Path) -> None:
        self._var_dir = var_dir
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples_mb: list[int] = []

    @property
    def peak_mb(self) -> int:
        """Highest sample; 0 before the first."""
        return max(self.samples_mb, default=0)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.samples_mb.append(stack_memory_mb(self._var_dir))


def stack_memory_mb(var_dir: Path) -> int:
    """Return the memory of this process, of those below it, and of all that carry the stack's mark, in MiB."""
    own = {process.pid for process in psutil.Process().children(recursive=True)} | {os.getpid()}
    # The stack's processes carry the absolute path.
    mark = str(var_dir.resolve())
    return sum(_pss(each) for each in psutil.process_iter() if each.pid in own or _belongs(each, mark)) // MIB


def _belongs(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return bool(process.environ().get(STACK_MARK) == mark)
    return False


def _pss(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error, OSError):
        return int(process.memory_full_info().pss)
    return 0
