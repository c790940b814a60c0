"""A steady stream of requests beside everything else, and how many of them failed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence

import httpx

from recloop.settings import Settings

REQUESTS_PER_SECOND = 10


class SteadyTraffic:
    """Asks for slates of random users until it is stopped; use as a context.

    `failed` counts answers other than 200 and connections that broke; `served_by` counts how the others were made.
    """

    def __init__(self, settings: Settings, users: Sequence[str]) -> None:
        self._url = settings.serving
        self._users = users
        self._random = random.Random(settings.seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.failed = 0
        self.served_by: Counter[str] = Counter()

    def __enter__(self) -> SteadyTraffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            while not self._stop.wait(1 / REQUESTS_PER_SECOND):
                self.sent += 1
                try:
                    answer = client.post("/v1/recommendations", json={"user_id": self._random.choice(self._users)})
                    answer.raise_for_status()
                    self.served_by[str(answer.json()["served_by"])] += 1
                except httpx.HTTPError:
                    self.failed += 1
