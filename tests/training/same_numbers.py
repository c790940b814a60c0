"""Numbers that two ways compute: the same, but for the order of their sums and the 32 bits of feature tables."""

from __future__ import annotations

from typing import Any

import pytest


def assert_same(found: Any, expected: Any, what: object) -> None:
    if isinstance(expected, list):
        assert isinstance(found, list), what
        assert len(found) == len(expected), what
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other, what)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6), what
    else:
        assert found == expected, what
