"""Cleaning: bad rows keep their bytes, repeats go, a rerun changes nothing, nothing bad is published."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.etl.clean_events import clean, parse_row
from jobs.etl.lake import append, snapshot_id
from recloop.errors import ValidationFailed
from recloop.tables import CLEAN_EVENTS, RAW_EVENTS, REJECTED_EVENTS, Column
from tests.lake import DAY_0, event, frame_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY_1 = DAY_0 + timedelta(days=1)


def raw_row(payload: bytes, at: datetime = DAY_0) -> dict[str, Any]:
    return {Column.PAYLOAD: payload, Column.INGEST_TIME: at, Column.ORIGIN: "events.v1", Column.KAFKA_OFFSET: 1}


def land(spark: SparkSession, *payloads: bytes, at: datetime = DAY_0, first: int = 0) -> None:
    rows = [
        (bytearray(payload), "events.v1", 0, first + place, at, at.date()) for place, payload in enumerate(payloads)
    ]
    append(frame_of(spark, rows, RAW_EVENTS.ddl), RAW_EVENTS)


def rows(spark: SparkSession, name: str) -> list[dict[str, Any]]:
    return [row.asDict() for row in spark.table(name).collect()]


def test_good_row_is_cut_to_milliseconds_in_utc() -> None:
    payload = (
        b'{"event_id":"a","event_time":"2022-04-30T23:30:00.123456-01:00","action":"click","user_id":"u","item_id":"i"}'
    )
    row = parse_row(raw_row(payload, at=DAY_1))
    assert row[Column.EVENT_TIME] == datetime(2022, 5, 1, 0, 30, 0, 123_000, tzinfo=UTC)
    assert row[Column.EVENT_DATE] == DAY_0.date()
    assert row[Column.PAYLOAD] is None


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        pytest.param(b"", "body", id="empty"),
        pytest.param(b"\xff\xfe", "body", id="not_utf_8"),
        pytest.param(b"[]", "body", id="no_object"),
        pytest.param(b"x" * 1_000_000, "body", id="a_megabyte"),
        pytest.param(event("a", "click").to_json().replace(b"click", b"stare"), "action", id="unknown_action"),
        pytest.param(event("a", "click").to_json().replace(b'"user_id":"u",', b""), "user_id", id="no_user"),
        pytest.param(event("a", "click", at=DAY_0 + timedelta(hours=1)).to_json(), "event_time", id="future"),
    ],
)
def test_bad_row_keeps_its_bytes_and_says_why(payload: bytes, field: str) -> None:
    row = parse_row(raw_row(payload))
    assert (row[Column.PAYLOAD], row[Column.FIELD]) == (payload, field)
    assert row[Column.REASON]


@pytest.mark.spark
@pytest.mark.stack
class TestJob:
    def test_bad_bytes_are_rejected_and_the_rest_goes_on(self, empty_lake: SparkSession) -> None:
        land(empty_lake, event("a", "click").to_json(), b"\xff{", b"", at=DAY_0)
        outcome = clean(empty_lake, start=DAY_0, end=DAY_1)
        assert (outcome.rows_in, outcome.rows_out, outcome.details["rejected"]) == (3, 1, 2)
        rejected = {bytes(row["payload"]): row["field"] for row in rows(empty_lake, REJECTED_EVENTS.full_name)}
        assert rejected == {b"\xff{": "body", b"": "body"}

    def test_first_ingested_of_a_repeated_id_stays(self, empty_lake: SparkSession) -> None:
        land(empty_lake, event("a", "click", item="first").to_json(), event("a", "click", item="same batch").to_json())
        clean(empty_lake, start=DAY_0, end=DAY_1)
        land(
            empty_lake, event("a", "click", item="next day").to_json(), event("b", "save").to_json(), at=DAY_1, first=2
        )
        outcome = clean(empty_lake, start=DAY_1, end=DAY_1 + timedelta(days=1))
        assert (outcome.rows_out, outcome.details["repeated"]) == (1, 1)
        kept = {row["event_id"]: row["item_id"] for row in rows(empty_lake, CLEAN_EVENTS.full_name)}
        assert kept == {"a": "first", "b": "i"}

    def test_rerun_gives_the_same_rows(self, empty_lake: SparkSession) -> None:
        land(empty_lake, event("a", "click").to_json(), b"{", at=DAY_0)
        land(empty_lake, event("b", "click").to_json(), b"[", at=DAY_0 + timedelta(hours=2), first=2)
        hour = timedelta(hours=1)
        clean(empty_lake, start=DAY_0, end=DAY_0 + hour)
        clean(empty_lake, start=DAY_0 + 2 * hour, end=DAY_0 + 3 * hour)
        before = [rows(empty_lake, table.full_name) for table in (CLEAN_EVENTS, REJECTED_EVENTS)]
        clean(empty_lake, start=DAY_0, end=DAY_0 + hour)
        after = [rows(empty_lake, table.full_name) for table in (CLEAN_EVENTS, REJECTED_EVENTS)]
        assert [len(table) for table in after] == [2, 2]
        for old, new in zip(before, after, strict=True):
            assert sorted(map(str, old)) == sorted(map(str, new))

    def test_late_event_joins_the_day_it_happened_on(self, empty_lake: SparkSession) -> None:
        land(empty_lake, event("a", "click").to_json())
        clean(empty_lake, start=DAY_0, end=DAY_1)
        later = DAY_0 + timedelta(days=3)
        land(empty_lake, event("late", "click", at=DAY_0 + timedelta(hours=5)).to_json(), at=later, first=1)
        clean(empty_lake, start=later, end=later + timedelta(days=1))
        assert {(row["event_id"], row["event_date"]) for row in rows(empty_lake, CLEAN_EVENTS.full_name)} == {
            ("a", DAY_0.date()),
            ("late", DAY_0.date()),
        }

    def test_broken_sender_stops_the_job_and_the_lake_keeps_its_snapshot(self, empty_lake: SparkSession) -> None:
        land(empty_lake, event("a", "click").to_json())
        clean(empty_lake, start=DAY_0, end=DAY_1)
        before = snapshot_id(empty_lake, CLEAN_EVENTS)
        land(empty_lake, *[b"{}"] * 90, *[event(f"b{n}", "click").to_json() for n in range(20)], at=DAY_1, first=1)
        with pytest.raises(ValidationFailed, match=r"raw_events: .*Nothing was published"):
            clean(empty_lake, start=DAY_1, end=DAY_1 + timedelta(days=1))
        assert snapshot_id(empty_lake, CLEAN_EVENTS) == before
        assert [row["event_id"] for row in rows(empty_lake, CLEAN_EVENTS.full_name)] == ["a"]
        assert rows(empty_lake, REJECTED_EVENTS.full_name) == []

    def test_interval_without_rows_writes_nothing(self, empty_lake: SparkSession) -> None:
        outcome = clean(empty_lake, start=DAY_0, end=DAY_1)
        assert (outcome.rows_in, outcome.rows_out) == (0, 0)
        assert snapshot_id(empty_lake, CLEAN_EVENTS) is None
