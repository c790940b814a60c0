"""Run one of the project's commands in a process of its own, whose memory and seconds are its own too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from recloop.errors import ComponentUnavailable
from recloop.settings import PROJECT_DIR


def last_line(module: str, options: Sequence[str]) -> dict[str, Any]:
    """Return the JSON object that a command prints last.

    Raises:
        ComponentUnavailable: it failed; its own message stands above.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *options], cwd=PROJECT_DIR, check=False, stdout=subprocess.PIPE
    )
    if done.returncode != 0:
        raise ComponentUnavailable(f"python -m {module} ended with exit code {done.returncode}; it says why above.")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
