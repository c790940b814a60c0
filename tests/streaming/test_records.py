"""Every record becomes an entry, a reject with its own bytes, or nothing; none raises."""

from __future__ import annotations

import base64
import json
import random

import pytest

from jobs.streaming import records
from jobs.streaming.records import MAX_REJECTED_BYTES, Accepted, Record, Rejected, read_record
from recloop.sequences import Entry, event_hash

INGESTED = "2022-05-01 12:00:00.250"
GOOD: dict[str, object] = {
    "event_id": "e1",
    "event_time": "2022-05-01T11:59:59.5Z",
    "action": "view",
    "user_id": "u1",
    "item_id": "i1",
    "dwell_ms": 1500,
}


def record(payload: bytes | None) -> Record:
    return Record(payload, kafka_partition=1, kafka_offset=42, ingest_time=INGESTED)


def test_interaction_becomes_its_users_entry() -> None:
    # 2022-05-01T11:59:59.5Z is 1,651,406,399.5 s after 1970
    expected = Entry(1_651_406_399_500, event_hash("e1"), "i1", "view", 1500)
    assert read_record(record(json.dumps(GOOD).encode())) == Accepted("u1", expected)


def test_impression_is_neither_entry_nor_reject() -> None:
    assert read_record(record(json.dumps(GOOD | {"action": "impression"}).encode())) is None


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        pytest.param(None, "body", id="tombstone"),
        pytest.param(b"", "body", id="empty"),
        pytest.param(b"\xff\xfe\x00", "body", id="no_utf8"),
        pytest.param(b"{" * 10_000, "body", id="deeply_nested"),
        pytest.param(b"x" * 1_000_000, "body", id="a_megabyte"),
        pytest.param(b'"\\ud800"', "body", id="lone_surrogate"),
        pytest.param(json.dumps(GOOD | {"event_id": None}).encode(), "event_id", id="null_id"),
        pytest.param(json.dumps(GOOD | {"action": "explode"}).encode(), "action", id="unknown_action"),
        pytest.param(json.dumps(GOOD | {"event_time": "2022-05-01T12:05:01Z"}).encode(), "event_time", id="future"),
        pytest.param(
            json.dumps(GOOD | {"event_time": "9999-12-31T23:59:59-14:00"}).encode(), "event_time", id="end_of_time"
        ),
    ],
)
def test_malformed_record_becomes_a_reject_with_its_bytes(payload: bytes | None, field: str) -> None:
    found = read_record(record(payload))
    assert isinstance(found, Rejected)
    reject = json.loads(found.value)
    assert base64.b64decode(reject.pop("payload_base64")) == (payload or b"")
    assert len(reject.pop("reason")) > 5
    assert reject == {
        "field": field,
        "kafka_partition": 1,
        "kafka_offset": 42,
        "ingest_time": "2022-05-01T12:00:00.250Z",
    }


def test_random_bytes_never_raise() -> None:
    rng = random.Random(4)
    good = json.dumps(GOOD).encode()
    for _ in range(500):
        broken = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        assert isinstance(read_record(record(bytes(broken))), Accepted | Rejected | None)


def test_unforeseen_error_is_a_reject_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OverflowError("date value out of range")

    monkeypatch.setattr(records, "parse_event", fail)
    found = read_record(record(b"{}"))
    assert isinstance(found, Rejected)
    assert json.loads(found.value)["reason"] == "cannot be read: OverflowError: date value out of range"


def test_payload_too_large_for_the_topic_is_cut_and_says_so() -> None:
    found = read_record(record(b"x" * (MAX_REJECTED_BYTES + 1)))
    assert isinstance(found, Rejected)
    reject = json.loads(found.value)
    assert len(found.value) < 3 * 1024 * 1024
    assert reject["payload_cut_from_bytes"] == MAX_REJECTED_BYTES + 1
