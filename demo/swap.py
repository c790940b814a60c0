"""Swaps of the model: by moving the alias by hand, and watched while a DAG moves it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx

from demo.clients import Api, Registry, attempts
from recloop.errors import ComponentUnavailable

SWAP_SECONDS = 60
CHECK_SECONDS = 0.1


def wait_until_serving(api: Api, version: str) -> None:
    """Wait until serving answers with a version.

    Raises:
        ComponentUnavailable: it does not within SWAP_SECONDS.
    """
    for _ in attempts(SWAP_SECONDS, every=CHECK_SECONDS):
        if api.serving_version() == version:
            return
    raise ComponentUnavailable(f"serving did not swap to version {version}; GET /v1/release says what it refused.")


def move_alias(registry: Registry, api: Api, version: str) -> float:
    """Point the alias at a version and wait for serving; return the seconds between."""
    started = time.monotonic()
    registry.move(version)
    wait_until_serving(api, version)
    return round(time.monotonic() - started, 2)


class SwapWatch:
    """Times the swap that a DAG sets off: from the alias's move to serving's new version; use as a context."""

    def __init__(self, registry: Registry, api: Api) -> None:
        self._registry, self._api = registry, api
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seconds: float | None = None

    def __enter__(self) -> SwapWatch:
        self._before = self._registry.version()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        version, asked = self._before, time.monotonic()
        while version == self._before and not self._stop.is_set():
            # The alias moved at some time after the last look that found it unmoved: from then on it is counted.
            started, asked = asked, time.monotonic()
            version = self._ask(self._registry.version, otherwise=version)
            time.sleep(CHECK_SECONDS)
        while version != self._before and time.monotonic() - started < SWAP_SECONDS:
            if self._ask(self._api.serving_version, otherwise=None) == version:
                self.seconds = round(time.monotonic() - started, 2)
                return
            time.sleep(CHECK_SECONDS)

    def _ask(self, question: Callable[[], str | None], *, otherwise: str | None) -> str | None:
        try:
            return question()
        except httpx.HTTPError:
            return otherwise
