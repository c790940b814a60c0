"""Read one user's online row through Feast, with a time limit, and leave a store that does not answer alone.

The feature store is opened in the background and again until it opens: neither a feature registry nor an online store
that is down keeps serving from starting. The registry's copy in memory is used as long as the database is away.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from recloop.clock import MS_PER_SECOND
from recloop.errors import ComponentUnavailable
from recloop.feast_env import FEATURE_REPO, feast_environment
from recloop.features import SERVING_V1, Entity
from recloop.settings import Settings
from serving.breaker import Breaker
from serving.user_state import OnlineRow

LOG = logging.getLogger(__name__)
N_READERS = 4
OPEN_AGAIN_SECONDS = 2.0
FAILURES_BEFORE_PAUSE = 3
PAUSE_SECONDS = 1.0
SOCKET_SECONDS = 1.0
"""A reader that waits for a store that hangs is free again after so long; its request went on long before."""

STOP_SECONDS = 8.0
"""Feast's imports take seconds where other processes keep the cores busy."""

WARM_UP_USER = "warm-up"


class FeatureReader:
    """Reads the feature service SERVING_V1 for one user at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._breaker = Breaker(threshold=FAILURES_BEFORE_PAUSE, pause_seconds=PAUSE_SECONDS)
        self._pool = ThreadPoolExecutor(N_READERS, thread_name_prefix="feature-reader")
        self._stopped = threading.Event()
        self._opener = threading.Thread(target=self._open_until_open, name="feature-store-opener", daemon=True)
        # Set last: a store that is there is ready to be read.
        self._store: Any = None
        self._opening: Any = None
        self._service: Any = None

    def start(self) -> None:
        """Begin to open the store."""
        self._opener.start()

    def stop(self) -> None:
        """End the threads; readers that wait are left to their socket's limit.

        An opening under way is waited for, up to STOP_SECONDS: a daemon thread that is in C++ code, as Feast's imports
        are, when the interpreter ends aborts the process.
        """
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._opener.is_alive():
            self._opener.join(timeout=STOP_SECONDS)

    @property
    def is_open(self) -> bool:
        """Tell whether the feature store was opened; its online store may be down all the same."""
        return self._store is not None

    async def read(self, user_id: str, *, timeout_seconds: float) -> OnlineRow:
        """Return a user's row; an unknown user's is empty.

        Raises:
            ComponentUnavailable: the store failed, was too slow, or did so before and is left alone for a moment.
        """
        if self._store is None or not self._breaker.allow():
            raise ComponentUnavailable("the online store does not answer")
        reading = asyncio.get_running_loop().run_in_executor(self._pool, self._read, user_id)
        try:
            row = await asyncio.wait_for(reading, timeout_seconds)
        except Exception as error:  # Feast wraps its stores' errors in no type of its own
            self._breaker.failed()
            raise ComponentUnavailable(f"the online store does not answer: {error!r}") from error
        self._breaker.succeeded()
        return row

    def _read(self, user_id: str) -> OnlineRow:
        response = self._opening.get_online_features(
            self._service, entity_rows=[{str(Entity.USER): user_id}], full_feature_names=True
        )
        fields = response.to_dict(include_event_timestamps=True)
        values, times = {}, {}
        for view in SERVING_V1.views:
            keys = {name: f"{view.name}__{name}" for name in view.names}
            at = max(fields[f"{key}__ts"][0] for key in keys.values())
            if at > 0:
                times[view.name] = at * MS_PER_SECOND
                values[view.name] = {name: fields[key][0] for name, key in keys.items()}
        return OnlineRow(values, times)

    def _open_until_open(self) -> None:
        while not self._stopped.is_set():
            try:
                self._open()
            except Exception as error:  # whatever it is, slates go on without features and the next try may work
                LOG.warning("the feature store cannot be opened yet: %r", error)
                self._stopped.wait(OPEN_AGAIN_SECONDS)
            else:
                return

    def _open(self) -> None:
        from feast import FeatureStore

        if self._opening is None:
            seconds = str(SOCKET_SECONDS)
            # No retries: the client's own take seconds, in which the thread is missing for other requests.
            limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": "null"}
            os.environ.update(feast_environment(self._settings, redis=limits))
            self._opening = FeatureStore(repo_path=str(FEATURE_REPO))
        else:
            # The same object again: each one that read its registry keeps a thread that refreshes it.
            self._opening.refresh_registry()
        self._service = self._opening.get_feature_service(SERVING_V1.name, allow_cache=True)
        self._warm_up()
        self._store = self._opening

    def _warm_up(self) -> None:
        """Make the first read, which imports the online store and connects, before a request has to wait for it."""
        try:
            self._read(WARM_UP_USER)
        except Exception as error:  # a store that is down now is the breaker's business later
            LOG.warning("the online store does not answer yet: %r", error)
