"""Write to the topic `events.v1`, keyed by user, each message acknowledged by all in-sync replicas.

A message counts as written when the broker said so. One that is not acknowledged in time is reported as failed; it may
still have arrived, which does no harm: every reader drops the second event of one id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from recloop.errors import ComponentUnavailable
from recloop.tables import Topic

LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.1
FLUSH_SECONDS = 5.0

Outcome = Callable[[str | None], None]
"""Called once per message, with None or with what went wrong; on the log's own thread."""


@dataclass(frozen=True)
class Message:
    """One message: `key` decides the Kafka partition, so that one user's events keep their order."""

    key: str
    payload: bytes


class EventLog:
    """A Kafka producer with a thread that hears the broker's answers."""

    def __init__(self, bootstrap_servers: str, *, timeout_seconds: float, linger_ms: int = 0) -> None:
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers,
            "client.id": "recloop-serving",
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "message.timeout.ms": int(timeout_seconds * 1000),
            # The Java client's choice: a key has one Kafka partition whoever wrote it.
            "partitioner": "murmur2_random",
            # A broker that comes back should be found within the timeout.
            "reconnect.backoff.max.ms": 500,
            "error_cb": self._on_error,
            "log_level": 2,
        }
        self.timeout_seconds = timeout_seconds
        self._producer = Producer(self._config)
        self._broken = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="event-log", daemon=True)

    def start(self) -> None:
        """Begin to hear answers."""
        self._thread.start()

    def stop(self) -> None:
        """Wait a little for what is under way, then end."""
        left = self._producer.flush(FLUSH_SECONDS)
        if left:
            LOG.error("%d messages were not acknowledged at shutdown", left)
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def write(self, message: Message, outcome: Outcome) -> None:
        """Queue one message and return at once.

        Raises:
            ComponentUnavailable: the queue is full; `outcome` will not be called.
        """

        def done(error: KafkaError | None, _: object) -> None:
            outcome(None if error is None else str(error))

        try:
            self._producer.produce(Topic.EVENTS, message.payload, message.key.encode(), on_delivery=done)
        except (BufferError, KafkaException) as error:
            raise ComponentUnavailable(f"Kafka does not take messages: {error}") from error

    async def write_all(self, messages: Sequence[Message]) -> None:
        """Write messages and return when every one was acknowledged.

        Raises:
            ComponentUnavailable: at least one was not; the sender has to send all of them again.
        """
        waiter = _Waiter(len(messages))
        for message in messages:
            self.write(message, waiter)
        try:
            error = await asyncio.wait_for(waiter.future, self.timeout_seconds + 1)
        except TimeoutError:
            error = f"no answer within {self.timeout_seconds:.0f} s"
        if error is not None:
            raise ComponentUnavailable(f"Kafka did not acknowledge: {error}")

    def _listen(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(POLL_SECONDS)
            if self._broken:
                LOG.error("the Kafka producer is beyond repair; making another")
                self._broken = False
                self._producer = Producer(self._config)

    def _on_error(self, error: KafkaError) -> None:
        # Others are told to each message; after a fatal one an idempotent producer takes nothing any more.
        self._broken = self._broken or error.fatal()


class _Waiter:
    """Counts outcomes on the log's thread; wakes the request's task when the last is in, or at the first error."""

    def __init__(self, n: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[str | None] = self._loop.create_future()
        self._left = n

    def __call__(self, error: str | None) -> None:
        self._left -= 1
        if self._left == 0 or error is not None:
            # The loop may be closed by then: the process is ending.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._finish, error)

    def _finish(self, error: str | None) -> None:
        if not self.future.done():
            self.future.set_result(error)
