"""Landing: from the topic and from files, everything once, nothing lost."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.etl.lake import create_tables
from jobs.etl.land_events import land_files, land_topic
from recloop.clock import ManualClock
from recloop.errors import SourceError
from recloop.settings import Settings
from recloop.tables import RAW_EVENTS, Topic
from tests.lake import DAY_0, event, json_lines

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
DAY = timedelta(days=1)
CLOCK = ManualClock(DAY_0 + 10 * DAY)


@pytest.fixture
def lake(empty_lake: SparkSession) -> SparkSession:
    create_tables(empty_lake, RAW_EVENTS)
    return empty_lake


def land(spark: SparkSession, folder: Path, first: int = 0, last: int = 10) -> tuple[int, int]:
    outcome = land_files(spark, folder, start=DAY_0 + first * DAY, end=DAY_0 + last * DAY, clock=CLOCK)
    return outcome.rows_in, outcome.rows_out


def raw(spark: SparkSession) -> list[tuple[bytes, object]]:
    rows = spark.table(RAW_EVENTS.full_name).orderBy("kafka_offset").collect()
    return [(bytes(row["payload"]), row["ingest_time"].replace(tzinfo=DAY_0.tzinfo)) for row in rows]


def test_file_events_arrive_when_they_happened(lake: SparkSession, tmp_path: Path) -> None:
    log = [event("a", "click", at=DAY_0 + timedelta(hours=1)), event("b", "save", at=DAY_0 + 2 * DAY)]
    (tmp_path / "events.jsonl.gz").write_bytes(gzip.compress(json_lines(log)))
    assert land(lake, tmp_path) == (2, 2)
    assert raw(lake) == [(each.to_json(), each.event_time) for each in log]


def test_unreadable_or_future_time_arrives_at_the_start(lake: SparkSession, tmp_path: Path) -> None:
    lines = [b"\xff\xfe", b'{"event_time": "yesterday"}', b'{"event_time": "2099-01-01T00:00:00Z"}', b""]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert land(lake, tmp_path) == (4, 4)
    assert raw(lake) == [(line, DAY_0) for line in lines]


def test_landing_a_file_twice_lands_it_once(lake: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(json_lines([event("a", "click"), event("b", "click")]))
    assert land(lake, tmp_path) == (2, 2)
    assert land(lake, tmp_path) == (2, 0)
    assert len(raw(lake)) == 2


def test_another_file_of_the_same_name_lands_too(lake: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(json_lines([event("a", "click")]))
    land(lake, tmp_path)
    path.write_bytes(json_lines([event("b", "click")]))
    assert land(lake, tmp_path) == (1, 1)


def test_long_history_lands_in_spans(lake: SparkSession, tmp_path: Path) -> None:
    log = [event(f"e{number}", "click", at=DAY_0 + number * DAY) for number in range(4)]
    (tmp_path / "events.jsonl").write_bytes(json_lines(log))
    # [0, 2) takes days 0 and 1; [2, 4) the others.
    assert land(lake, tmp_path, 0, 2) == (4, 2)
    assert land(lake, tmp_path, 2, 4) == (4, 2)
    assert len(raw(lake)) == 4


def test_torn_file_is_one_message_and_nothing_lands(lake: SparkSession, tmp_path: Path) -> None:
    whole = gzip.compress(json_lines([event(f"e{number}", "click") for number in range(5_000)]))
    (tmp_path / "events.jsonl.gz").write_bytes(whole[:-50])
    with pytest.raises(SourceError, match=r"events\.jsonl\.gz cannot be read after line \d+.*again\.$"):
        land(lake, tmp_path)
    assert raw(lake) == []


def test_topic_lands_from_where_the_last_run_ended(lake: SparkSession, base_stack: Settings) -> None:
    produce(base_stack, [b"first", b"\xff\x00", None])
    # Other tests of the session write to the topic too: only what is new is counted.
    before = land_topic(lake, base_stack).rows_out
    assert before >= 3
    assert land_topic(lake, base_stack).rows_out == 0
    produce(base_stack, [json.dumps({"n": 1}).encode()])
    assert land_topic(lake, base_stack).rows_out == 1
    landed = lake.table(RAW_EVENTS.full_name).where("origin = 'events.v1'").collect()
    assert len(landed) == before + 1 == len({(row["kafka_partition"], row["kafka_offset"]) for row in landed})
    assert {b"first", b"\xff\x00", b"", b'{"n": 1}'} <= {bytes(row["payload"]) for row in landed}


def produce(settings: Settings, payloads: list[bytes | None]) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": settings.kafka})
    for number, payload in enumerate(payloads):
        producer.produce(Topic.EVENTS, value=payload, key=f"u{number}".encode())
    assert producer.flush(20) == 0
