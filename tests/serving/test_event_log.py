"""What is written is in the topic; what is not is said."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid

import pytest
from confluent_kafka import KafkaError

from recloop.errors import ComponentUnavailable
from recloop.settings import Settings
from serving.event_log import EventLog, Message
from tests.serving.topic import read_topic


def test_broker_that_is_down_is_said_in_time(lonely_settings: Settings) -> None:
    log = EventLog(lonely_settings.kafka, timeout_seconds=0.3)
    log.start()
    began = time.monotonic()
    with pytest.raises(ComponentUnavailable, match="did not acknowledge"):
        asyncio.run(log.write_all([Message("u", b"{}"), Message("v", b"{}")]))
    assert time.monotonic() - began < 3
    log.stop()


def test_producer_is_made_anew_after_a_fatal_error(lonely_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(lonely_settings.kafka, timeout_seconds=0.3)
    before = log._producer
    log._on_error(KafkaError(KafkaError._TRANSPORT, "passes", False))
    log.start()
    time.sleep(0.3)
    assert log._producer is before
    with caplog.at_level(logging.ERROR):
        log._on_error(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "fenced", True))
        time.sleep(0.5)
    assert log._producer is not before
    log.stop()


@pytest.mark.stack
def test_acknowledged_messages_are_in_the_topic_keyed_by_user(base_stack: Settings) -> None:
    log = EventLog(base_stack.kafka, timeout_seconds=10)
    log.start()
    mark = str(uuid.uuid4())
    messages = [Message(f"user-{number % 7}", f"{mark} {number}".encode()) for number in range(1_000)]
    asyncio.run(log.write_all(messages))
    log.stop()
    found = [record for record in read_topic(base_stack) if record.value.startswith(mark.encode())]
    assert sorted(record.value for record in found) == sorted(message.payload for message in messages)
    assert {record.value: record.key for record in found} == {
        message.payload: message.key.encode() for message in messages
    }
    partitions = {record.key: set() for record in found}  # type: dict[bytes, set[int]]
    for record in found:
        partitions[record.key].add(record.partition)
    assert {len(of_key) for of_key in partitions.values()} == {1}, "one user's events keep their order"
