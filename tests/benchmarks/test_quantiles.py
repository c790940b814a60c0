"""Quantiles of samples, in the names of the reports."""

from __future__ import annotations

import pytest

from benchmarks.quantiles import quantiles


@pytest.mark.parametrize(
    ("samples", "p50", "p95", "p99"),
    [
        pytest.param([7.0], 7.0, 7.0, 7.0, id="one"),
        pytest.param([*map(float, range(100, -1, -1))], 50.0, 95.0, 99.0, id="in_any_order"),
        pytest.param([0.0, 10.0], 0.5 * 10, 0.95 * 10, 0.99 * 10, id="between_samples"),
        pytest.param([1.23456], 1.23, 1.23, 1.23, id="rounded"),
    ],
)
def test_quantiles_are_those_of_the_sorted_samples(samples: list[float], p50: float, p95: float, p99: float) -> None:
    assert quantiles(samples) == {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
