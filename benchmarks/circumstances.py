"""What a reader needs to judge the numbers of a benchmark: the code, the moment, and how busy which machine was."""

from __future__ import annotations

import os
from typing import Any

from recloop.clock import SystemClock, format_time
from training.bundle import code_commit


def circumstances() -> dict[str, Any]:
    """Return the commit, the moment, the number of cores, and the load that others and this process make."""
    return {
        "commit": code_commit(),
        "measured_at": format_time(SystemClock().now()),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }
