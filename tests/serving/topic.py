"""Read the whole topic of events from a real broker."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from recloop.settings import Settings
from recloop.tables import Topic


class Record(NamedTuple):
    """One record of the topic."""

    key: bytes
    value: bytes
    partition: int


def read_topic(settings: Settings) -> list[Record]:
    """Return every record that is in the topic now."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": "tests-of-serving", "enable.auto.commit": False}
    )
    try:
        partitions = consumer.list_topics(Topic.EVENTS, timeout=10).topics[Topic.EVENTS].partitions
        ends = {
            number: consumer.get_watermark_offsets(TopicPartition(Topic.EVENTS, number), timeout=10)[1]
            for number in partitions
        }
        consumer.assign([TopicPartition(Topic.EVENTS, number, OFFSET_BEGINNING) for number in partitions])
        records: list[Record] = []
        while len(records) < sum(ends.values()):
            message = consumer.poll(10)
            assert message is not None, f"{len(records)} of {sum(ends.values())} records within 10 s"
            assert message.error() is None, message.error()
            records.append(Record(message.key(), message.value(), message.partition()))
        return records
    finally:
        consumer.close()
