"""A circuit breaker: after some failures in a row, ask again only now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Lets calls through while they succeed.

    After `threshold` failures in a row it is open: `allow` is False, but for one call each `pause_seconds`, whose
    success closes it. Safe to use from several threads.

    >>> clock = iter([0.0, 0.1, 2.0, 2.0]).__next__
    >>> breaker = Breaker(threshold=1, pause_seconds=1, monotonic=clock)
    >>> breaker.failed(), breaker.allow(), breaker.allow(), breaker.allow()
    (None, False, True, False)
    """

    def __init__(
        self, *, threshold: int, pause_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._threshold = threshold
        self._pause = pause_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    def allow(self) -> bool:
        """Tell whether to make a call now."""
        with self._lock:
            if self._failures < self._threshold:
                return True
            now = self._monotonic()
            if now < self._next_try:
                return False
            self._next_try = now + self._pause
            return True

    def succeeded(self) -> None:
        """Close."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """Count a failure; the pause starts anew."""
        with self._lock:
            self._failures += 1
            self._next_try = self._monotonic() + self._pause
