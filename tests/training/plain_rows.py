"""Parts of stack rows that most tests do not look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from recloop.histories import Histories


def without_history(n: int) -> dict[str, Any]:
    """Return `histories` and `request` of n rows that one user asked for who did nothing before."""
    nothing = np.zeros((1, 1), dtype=np.int64)
    return {"histories": Histories(nothing, nothing, nothing, nothing), "request": np.zeros(n, dtype=np.int64)}
