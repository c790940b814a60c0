"""Look at the machine: what is missing for the stack is said at once, each with its fix. Standard library only."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from recloop.errors import MachineError
from stack.places import PROJECT_DIR, environments, python

GIB = 1024**3
# 7.1 GB of core, 1.5 GB of the other environments, as much again for moments in which uv unpacks, 1 GB of data.
DISK_FOR_SETUP_GIB = 12
DISK_FOR_RUNNING_GIB = 2
# A machine sold as 8 GB shows less: the kernel takes its part first.
MEMORY_GIB = 7
SUPPORTED_PYTHON = ((3, 11), (3, 12))


def find_problems(
    *,
    version: tuple[int, int] = sys.version_info[:2],
    disk_bytes: int | None = None,
    memory_bytes: int | None = None,
    is_installed: bool | None = None,
    as_root: bool | None = None,
) -> list[str]:
    """Return one sentence per thing this machine lacks; each names the fix. What is not given is measured."""
    installed = is_installed if is_installed is not None else all(python(name).exists() for name in environments())
    disk = disk_bytes if disk_bytes is not None else shutil.disk_usage(PROJECT_DIR).free
    memory = memory_bytes if memory_bytes is not None else total_memory()
    needed = DISK_FOR_RUNNING_GIB if installed else DISK_FOR_SETUP_GIB
    problems = []
    if version not in SUPPORTED_PYTHON:
        problems.append(f"Python is {version[0]}.{version[1]}; 3.11 or 3.12 is needed: install one, `make` finds it.")
    if disk < needed * GIB:
        problems.append(f"{disk / GIB:.1f} GiB of disk are free in {PROJECT_DIR}; {needed} are needed. Free some.")
    if memory < MEMORY_GIB * GIB:
        problems.append(f"The machine has {memory / GIB:.1f} GiB of memory; {MEMORY_GIB} are needed (an 8 GB machine).")
    if (as_root if as_root is not None else os.geteuid() == 0) and not shutil.which("setpriv"):
        problems.append(
            "PostgreSQL refuses to run as root and `setpriv` is missing. Install util-linux, or use another user."
        )
    return problems


def check_machine() -> None:
    """Raise a MachineError that lists everything the machine lacks."""
    problems = find_problems()
    if problems:
        raise MachineError("this machine is not ready:\n" + "\n".join(f"- {problem}" for problem in problems))


def total_memory(meminfo: Path = Path("/proc/meminfo"), limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Return the bytes of memory this process may use: the machine's, or a container's limit where that is less."""
    total = int(meminfo.read_text().split("MemTotal:")[1].split()[0]) * 1024
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text)) if text != "max" else total
