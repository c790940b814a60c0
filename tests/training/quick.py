"""What a training measures of itself costs seconds each time; most tests do not ask for it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def quick_trainings() -> Iterator[None]:
    """Count the operations of one step, which takes three times as long so; and leave garbage to Python's own rounds.

    To look for it after each part, through all that torch and its exporter hold, takes up to half a second.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.throughput.COUNTED_STEPS", 1)
        patch.setattr("training.costs.gc", types.SimpleNamespace(collect=lambda: 0))
        yield
