"""Splits by time: a model never sees what comes after the moment it is judged from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recloop.errors import TrainingError

BASE_SHARE = 0.75
STACK_SHARE = 0.15


@dataclass(frozen=True)
class TimeSplit:
    """Three spans that follow one another, in ms: base models learn on `[start, stack)`, the stack on
    `[stack, holdout)`, metrics come from `[holdout, end)`.
    """  # noqa: D205 - one sentence reads better than two

    start_ms: int
    stack_ms: int
    holdout_ms: int
    end_ms: int


def split_by_time(
    times_ms: Sequence[int] | np.ndarray, *, end_ms: int, base: float = BASE_SHARE, stack: float = STACK_SHARE
) -> TimeSplit:
    """Cut a log where `base` and `base + stack` of its events lie before the cut.

    Events at the same millisecond stay on one side.

    Raises:
        TrainingError: there are fewer than 100 events before `end_ms`, or all lie in one span.
    """
    times = np.sort(np.asarray(times_ms, dtype=np.int64))
    times = times[times < end_ms]
    if len(times) < 100:
        raise TrainingError(
            f"{len(times)} events lie before the end; at least 100 are needed. Ingest more, or train later."
        )
    first, second = (int(times[int(len(times) * share)]) for share in (base, base + stack))
    if not times[0] < first < second:
        raise TrainingError(
            f"the log's {len(times)} events cannot be cut into three spans of time: "
            f"{base:.0%} and {base + stack:.0%} of them lie before the same moment. Train on a longer span."
        )
    return TimeSplit(int(times[0]), first, second, end_ms)
