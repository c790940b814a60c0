"""Quantiles of samples, as the reports name them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def quantiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """Return median, 95th and 99th percentile, between samples where they fall there, rounded for reading.

    >>> quantiles([1.0, 2.0, 3.0])
    {'p50_ms': 2.0, 'p95_ms': 2.9, 'p99_ms': 2.98}
    """
    return {f"p{q}_ms": round(float(np.percentile(samples_ms, q)), 2) for q in (50, 95, 99)}
