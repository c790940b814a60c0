"""A store that fails is left alone for a while, then tried once."""

from __future__ import annotations

from serving.breaker import Breaker


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(threshold=2, pause_seconds=1, monotonic=Time())
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allow()
    breaker.failed()
    assert not breaker.allow()


def test_lets_one_call_through_per_pause() -> None:
    time = Time()
    breaker = Breaker(threshold=1, pause_seconds=1, monotonic=time)
    breaker.failed()
    time.now = 1.0
    assert [breaker.allow(), breaker.allow()] == [True, False]
    time.now = 1.5
    assert not breaker.allow()


def test_success_closes_it() -> None:
    time = Time()
    breaker = Breaker(threshold=1, pause_seconds=1, monotonic=time)
    breaker.failed()
    time.now = 1.0
    assert breaker.allow()
    breaker.succeeded()
    assert [breaker.allow(), breaker.allow()] == [True, True]
