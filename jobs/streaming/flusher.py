"""A thread that writes the newest row of each user, many users at once, and says what was written.

In: `offer(user, digest, entries)`, which never blocks and never fails for long. Out: calls of `write` with at most
MAX_ROWS rows; `acknowledged(user, digest)` turns true when the store took that very row.

Nothing here survives a kill, nor is it meant to: whoever offers keeps a checkpointed timer and offers again what was
not acknowledged. So a full buffer may refuse, and an outage of the store costs no memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from recloop.sequences import Entry

Row = Sequence[Entry]
Write = Callable[[Mapping[str, Row]], None]

MAX_ROWS = 200
"""Rows of one write: few enough that a waiting user's row is not held up for long."""

MAX_PENDING = 5_000
MAX_ACKNOWLEDGED = 50_000
"""Users whose last write is remembered; one that was forgotten is written once more, which changes nothing."""

FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


class Flusher:
    """Rows on their way to the online store; the last value per user wins."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._pending: dict[str, tuple[int, Row]] = {}
        self._acknowledged: dict[str, int] = {}
        self._closing = False
        self._wakeup = threading.Event()
        self.rows_written = 0
        self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, user_id: str, digest: int, entries: Row) -> bool:
        """Take a row to write; False when MAX_PENDING other users wait, in which case it has to be offered again."""
        with self._changed:
            if user_id not in self._pending and len(self._pending) >= MAX_PENDING:
                return False
            self._pending[user_id] = digest, entries
            self._changed.notify()
            return True

    def acknowledged(self, user_id: str, digest: int) -> bool:
        """Tell whether the store took this very row last."""
        with self._changed:
            return self._acknowledged.get(user_id) == digest

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what is pending if the store takes it, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._wakeup.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        failures = 0
        while (rows := self._take()) is not None:
            try:
                self._write({user_id: entries for user_id, (_, entries) in rows.items()})
            except Exception as error:  # whatever a client raises while its server is away
                failures += 1
                self._put_back(rows)
                if not self._wait_to_retry(failures, error):
                    return
            else:
                if failures:
                    log.info("the online store takes rows again after %d failed writes", failures)
                failures = 0
                self._acknowledge(rows)

    def _take(self) -> dict[str, tuple[int, Row]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            users = list(self._pending)[:MAX_ROWS]
            return {user_id: self._pending.pop(user_id) for user_id in users} or None

    def _put_back(self, rows: dict[str, tuple[int, Row]]) -> None:
        with self._changed:
            # What was offered meanwhile is newer.
            self._pending = rows | self._pending

    def _acknowledge(self, rows: dict[str, tuple[int, Row]]) -> None:
        with self._changed:
            for user_id, (digest, _) in rows.items():
                # Taken out first, so that the order of the dict is the order of writing.
                self._acknowledged.pop(user_id, None)
                self._acknowledged[user_id] = digest
            while len(self._acknowledged) > MAX_ACKNOWLEDGED:
                del self._acknowledged[next(iter(self._acknowledged))]
            self.rows_written += len(rows)

    def _wait_to_retry(self, failures: int, error: Exception) -> bool:
        """Return False when closing: then there is no time to wait for the store."""
        seconds = min(FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 10), LAST_RETRY_SECONDS)
        log.warning("the online store took no rows (failure %d), next try in %.1f s: %s", failures, seconds, error)
        return not self._wakeup.wait(seconds)
