"""Malformed events are named by field and reason; good ones survive a round trip."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from recloop.errors import EventRejected
from recloop.events import MAX_CLOCK_SKEW, MAX_EVENT_BYTES, Action, Event, parse_event

NOW = datetime(2022, 5, 1, 12, tzinfo=UTC)
GOOD = {
    "event_id": "e1",
    "event_time": "2022-05-01T11:59:00Z",
    "action": "save",
    "user_id": "u1",
    "item_id": "i1",
}


def parse(**changes: object) -> Event:
    fields = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return parse_event(json.dumps(fields), received_at=NOW)


def test_good_event_survives_the_round_trip() -> None:
    event = parse(dwell_ms=1_200, surface="home", propensity=0.25)
    assert parse_event(event.to_json(), received_at=NOW) == event


def test_time_zone_is_normalised_to_utc_in_the_canonical_bytes() -> None:
    event = parse(event_time="2022-05-01T13:00:00+02:00")
    assert json.loads(event.to_json())["event_time"] == "2022-05-01T11:00:00.000Z"


def test_unknown_fields_are_ignored() -> None:
    assert parse(campaign="spring").action is Action.SAVE


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        pytest.param({"event_id": ...}, "event_id", "field required", id="missing_id"),
        pytest.param({"user_id": ""}, "user_id", "at least 1 character", id="empty_user"),
        pytest.param({"user_id": 7}, "user_id", "valid string", id="number_as_user"),
        pytest.param({"item_id": "x" * 129}, "item_id", "at most 128", id="long_item"),
        pytest.param({"item_id": "a\nb"}, "item_id", "printable", id="control_character"),
        pytest.param({"action": "explode"}, "action", "explode", id="unknown_action"),
        pytest.param({"event_time": "2022-05-01T11:00:00"}, "event_time", "timezone", id="naive_time"),
        pytest.param({"event_time": 1651406340}, "event_time", "datetime", id="number_as_time"),
        pytest.param({"event_time": "2022-05-01T12:06:00Z"}, "event_time", "future", id="future"),
        pytest.param({"event_time": "9999-12-31T23:59:59-14:00"}, "event_time", "future", id="end_of_calendar"),
        pytest.param({"event_time": "1969-12-31T23:59:59Z"}, "event_time", "1970", id="before_the_epoch"),
        pytest.param({"propensity": 0}, "propensity", "greater than 0", id="zero_propensity"),
        pytest.param({"dwell_ms": -1}, "dwell_ms", "greater than or equal to 0", id="negative_dwell"),
        pytest.param({"position": 1.5}, "position", "integer", id="fractional_position"),
        pytest.param({"title": "x" * MAX_EVENT_BYTES}, "body", "bytes", id="too_large"),
    ],
)
def test_malformed_event_names_field_and_reason(changes: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(EventRejected, match=reason) as caught:
        parse(**changes)
    assert caught.value.field == field


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"[]", b"null", b'{"event_id": "e1"', b"\xff\xfe", b"\x00" * 9])
def test_bytes_that_are_no_event_are_rejected_not_raised_otherwise(payload: bytes) -> None:
    with pytest.raises(EventRejected):
        parse_event(payload, received_at=NOW)


def test_skewed_clock_is_forgiven_up_to_its_bound() -> None:
    event = parse(event_time=(NOW + MAX_CLOCK_SKEW).isoformat())
    assert event.event_time - NOW == timedelta(minutes=5)


def test_not_a_number_is_no_propensity() -> None:
    payload = json.dumps(GOOD | {"propensity": float("nan")})
    with pytest.raises(EventRejected, match="propensity"):
        parse_event(payload, received_at=NOW)
