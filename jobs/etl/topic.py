"""Raw events out of the topic: from the last landed offset of each Kafka partition up to now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recloop.errors import ComponentUnavailable, SourceError
from recloop.settings import Settings
from recloop.tables import RAW_EVENTS, Column, Topic

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Span:
    """Offsets `[start, end)` of one Kafka partition; `lost` messages before `start` were deleted unread."""

    start: int
    end: int
    lost: int = 0


def landed_offsets(spark: SparkSession, topic: Topic) -> dict[int, int]:
    """Return the newest landed offset of each Kafka partition; it is read from the rows, so both commit together."""
    from pyspark.sql import functions as F

    newest = (
        spark.table(RAW_EVENTS.full_name)
        .where(F.col(Column.ORIGIN) == topic)
        .groupBy(Column.KAFKA_PARTITION)
        .agg(F.max(Column.KAFKA_OFFSET))
    )
    return {int(partition): int(offset) for partition, offset in newest.collect()}


def broker_offsets(settings: Settings, topic: Topic) -> dict[int, tuple[int, int]]:
    """Return the (oldest, next) offset of each Kafka partition.

    Raises:
        ComponentUnavailable: no broker answers, or the topic is missing.
    """
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    config = {"bootstrap.servers": settings.kafka, "group.id": "land-events", "enable.auto.commit": False}
    consumer = Consumer(config, logger=None)
    try:
        partitions = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic].partitions
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_SECONDS)
            for number in partitions
        }
    except KafkaException as error:
        raise ComponentUnavailable(
            f"Kafka at {settings.kafka} does not answer ({error.args[0].str()}). Start it with `make up`."
        ) from error
    finally:
        consumer.close()


def spans_to_land(landed: dict[int, int], broker: dict[int, tuple[int, int]]) -> dict[int, Span]:
    """Return what is to be read of each Kafka partition.

    >>> spans_to_land({0: 4}, {0: (0, 9), 1: (2, 3)})
    {0: Span(start=5, end=9, lost=0), 1: Span(start=2, end=3, lost=2)}

    Raises:
        SourceError: the topic ends before what was landed from it: it was made anew, and offsets mean something else.
    """
    spans = {}
    for number, (oldest, end) in sorted(broker.items()):
        wanted = landed.get(number, -1) + 1
        if wanted > end:
            raise SourceError(
                f"Kafka partition {number} ends at offset {end}, but {wanted - 1} was landed from it: the topic was "
                "made anew. Use a new topic name, or start with an empty lake."
            )
        spans[number] = Span(max(oldest, wanted), end, max(0, oldest - wanted))
    return spans


def read_topic(spark: SparkSession, settings: Settings, topic: Topic, spans: dict[int, Span]) -> DataFrame:
    """Return the messages of the spans with the raw table's columns, but for the ingest date."""
    from pyspark.sql import functions as F

    starts = {topic: {str(number): span.start for number, span in spans.items()}}
    ends = {topic: {str(number): span.end for number, span in spans.items()}}
    messages = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka)
        .option("subscribe", topic)
        .option("startingOffsets", json.dumps(starts))
        .option("endingOffsets", json.dumps(ends))
        .load()
    )
    return messages.select(
        F.coalesce("value", F.lit(b"")).alias(Column.PAYLOAD),
        F.lit(str(topic)).alias(Column.ORIGIN),
        F.col("partition").alias(Column.KAFKA_PARTITION),
        F.col("offset").alias(Column.KAFKA_OFFSET),
        F.col("timestamp").alias(Column.INGEST_TIME),
    )
