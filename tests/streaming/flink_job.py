"""The real job on real servers, as its tests drive it: start, stop, kill; produce events, read rows and rejects."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.streaming.online_rows import FeastRows
from recloop.commands import module
from recloop.events import Event
from recloop.sequences import RecentActions, entry, merge, recent_actions
from recloop.settings import PROJECT_DIR, Environment, Port, Settings
from recloop.tables import Topic

START_SECONDS = 240
"""The JVM, two interpreters and Feast: 15 s on an idle machine, minutes on a busy one."""


class FlinkJob:
    """`python -m jobs.streaming.update_features` in a process group of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = settings.var_dir / "log" / "streaming-under-test.log"
        self.rows = FeastRows(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it consumes."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                module(Environment.STREAMING, "jobs.streaming.update_features"),
                cwd=PROJECT_DIR,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = self._process
        wait_until(lambda: "RUNNING:" in self.text or process.poll() is not None, START_SECONDS, lambda: self.text)
        assert process.poll() is None, self.text

    def stop(self) -> int:
        """Send SIGTERM to the command alone, as its supervisor does; return the exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(timeout=60)
        self._process = None
        return code

    def kill(self) -> None:
        """Kill the JVM and the command at once, with no chance to write anything."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=60)
        self._process = None

    def close(self) -> None:
        """Leave nothing running."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        """The command's process, which is also its group; 0 when it was stopped."""
        return self._process.pid if self._process else 0

    @property
    def text(self) -> str:
        """What it has logged since its start."""
        return self.log.read_text(errors="replace")

    def rest(self, path: str) -> Any:
        """Ask Flink's REST API."""
        with urllib.request.urlopen(self.url(path), timeout=10) as answer:
            return json.loads(answer.read())

    def url(self, path: str) -> str:
        """Return an address of Flink's REST API and page."""
        return f"http://{self.settings.address(Port.FLINK)}{path}"

    def wait_for_checkpoint(self) -> None:
        """Wait until a Flink checkpoint that began after now is complete."""
        job_id = self.rest("/jobs/overview")["jobs"][0]["jid"]
        asked_ms = time.time() * 1_000

        def complete() -> bool:
            latest = self.rest(f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
            return bool(latest and latest["trigger_timestamp"] > asked_ms)

        wait_until(complete, 60, lambda: self.text)

    def produce(self, payloads: Iterable[bytes | None]) -> None:
        """Write records to the topic; returns when the broker has them."""
        producer = Producer({"bootstrap.servers": self.settings.kafka, "message.max.bytes": 2_000_000})
        for payload in payloads:
            producer.produce(Topic.EVENTS, payload)
            producer.poll(0)
        assert producer.flush(30) == 0

    def wait_for_rows(self, events: Sequence[Event], *, seconds: float = 60) -> None:
        """Wait until each user's online row is what the kernel makes of the events; compare whole rows."""
        expected = kernel_rows(events)
        assert expected

        def as_expected() -> bool:
            try:
                return all(self.rows.read(user_id) == row for user_id, row in expected.items())
            except RedisConnectionError:
                return False  # a test has stopped it, and it is starting

        wait_until(
            as_expected,
            seconds,
            lambda: f"{differences(self.rows.read, expected)}\n{self.text[-3000:]}",
        )

    def rejects(self) -> list[dict[str, Any]]:
        """Return every reject written so far."""
        return [json.loads(value) for value in read_topic(self.settings, Topic.REJECTS)]


def kernel_rows(events: Iterable[Event]) -> dict[str, RecentActions]:
    """Return each user's row by the kernel's rule, the reference."""
    by_user: dict[str, list[Event]] = {}
    for event in events:
        by_user.setdefault(event.user_id, []).append(event)
    merged = {user_id: merge([], filter(None, map(entry, own))) for user_id, own in by_user.items()}
    return {user_id: _plain(recent_actions(entries)) for user_id, entries in merged.items() if entries}


def _plain(row: RecentActions) -> RecentActions:
    return RecentActions(row.item_ids, tuple(map(str, row.actions)), row.times_ms, row.dwell_ms)


def differences(read: Callable[[str], RecentActions], expected: dict[str, RecentActions]) -> str:
    """Say which rows are not as expected."""
    wrong = {user_id: (read(user_id), row) for user_id, row in expected.items() if read(user_id) != row}
    first = next(iter(wrong.items()), None)
    return f"{len(wrong)} of {len(expected)} rows differ, such as (user, (found, expected)): {first}"


def read_topic(settings: Settings, topic: Topic) -> Iterator[bytes]:
    """Yield every value of a topic up to its present end."""
    options = {"bootstrap.servers": settings.kafka, "group.id": uuid.uuid4().hex, "fetch.message.max.bytes": 4_000_000}
    consumer = Consumer(options)
    try:
        for number in consumer.list_topics(topic).topics[topic].partitions:
            start, end = consumer.get_watermark_offsets(TopicPartition(topic, number))
            consumer.assign([TopicPartition(topic, number, start)])
            while start < end:
                message = consumer.poll(10)
                assert message is not None, f"partition {number} ends at {end}, nothing after {start} came"
                assert not message.error(), message.error()
                start = (message.offset() or 0) + 1
                yield message.value() or b""
    finally:
        consumer.close()


def wait_until(condition: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    """Poll until a condition holds; a failure says what `explain` finds then."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {explain()}"
        time.sleep(0.05)


def apply_features(folder: Path = PROJECT_DIR) -> None:
    """Register the feature views, as `make up` does before it starts the job."""
    done = subprocess.run(
        module(Environment.CORE, "jobs.etl.apply_features"), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
