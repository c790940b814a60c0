"""A body becomes events, all or none, and never more than a bounded number of bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from recloop.errors import EventRejected
from serving.intake import LINES, MAX_BODY_BYTES, MAX_DRAINED_BYTES, MAX_EVENTS, parse_body, read_body
from tests.serving.bundles import NOW


def event(**changes: object) -> bytes:
    fields = {"event_id": "e", "event_time": "2026-06-01T11:00:00Z", "action": "click", "user_id": "u", "item_id": "i"}
    return json.dumps(fields | changes).encode()


async def chunks(size: int, chunk: int, sent: list[int]) -> AsyncIterator[bytes]:
    for _ in range(size // chunk):
        sent.append(chunk)
        yield b"x" * chunk


def test_one_event_keeps_its_own_bytes() -> None:
    body = b' {"not_ours": 1, ' + event()[1:]
    received, problems = parse_body(body, received_at=NOW)
    assert problems == []
    assert received[0].payload == body
    assert received[0].event.user_id == "u"


def test_array_elements_keep_fields_that_are_unknown_here() -> None:
    received, _ = parse_body(b"[" + event(note="ä", deep={"x": [1.5, None]}) + b"]", received_at=NOW)
    assert json.loads(received[0].payload)["deep"] == {"x": [1.5, None]}
    assert json.loads(received[0].payload)["note"] == "ä"


def test_lines_are_one_event_each() -> None:
    received, problems = parse_body(
        event() + b"\n\n" + event(event_id="f") + b"\r\n", received_at=NOW, media_type=LINES
    )
    assert problems == []
    assert [one.event.event_id for one in received] == ["e", "f"]


def test_one_malformed_event_keeps_all_out() -> None:
    body = b"[" + b",".join([event(), event(action="stare"), b"3"]) + b"]"
    received, problems = parse_body(body, received_at=NOW)
    assert received == []
    assert [(problem.index, problem.field) for problem in problems] == [(1, "action"), (2, "body")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(b"", "body", id="empty"),
        pytest.param(b"{", "body", id="cut_off"),
        pytest.param(b"[", "body", id="cut_off_array"),
        pytest.param(b"[]", "body", id="no_events"),
        pytest.param(b"[" + b",".join([event()] * (MAX_EVENTS + 1)) + b"]", "body", id="too_many"),
        pytest.param(b"\xff\xfe", "body", id="no_text"),
        pytest.param(b'["\\ud800"]', "body", id="half_a_character"),
        pytest.param(b"[" * 100_000, "body", id="deeply_nested"),
        pytest.param(b"[" + event() + b", NaN]", "body", id="not_a_number"),
        pytest.param(b'"' + b"a" * 1_000_000 + b'"', "body", id="one_megabyte"),
        pytest.param(b'["' + b"a" * 1_000_000 + b'"]', "body", id="one_megabyte_in_an_array"),
        pytest.param(event(event_id=""), "event_id", id="empty_id"),
        pytest.param(event(user_id=7), "user_id", id="number_for_text"),
        pytest.param(event(event_time="2026-06-01T11:00:00"), "event_time", id="naive_time"),
        pytest.param(event(event_time="2027-01-01T00:00:00Z"), "event_time", id="future"),
        pytest.param(event(action="stare"), "action", id="unknown_action"),
        pytest.param(event(position=-1), "position", id="negative_position"),
    ],
)
def test_malformed_body_names_the_field(body: bytes, field: str) -> None:
    received, problems = parse_body(body, received_at=NOW)
    assert received == []
    assert [(problem.index, problem.field) for problem in problems] == [(0, field)]
    assert len(problems[0].reason) < 300


def test_longest_body_is_read() -> None:
    body = asyncio.run(read_body(chunks(MAX_BODY_BYTES, 65_536, [])))
    assert len(body) == MAX_BODY_BYTES


def test_longer_body_is_read_on_but_not_without_end() -> None:
    sent: list[int] = []
    with pytest.raises(EventRejected, match="longer than 1048576 bytes"):
        asyncio.run(read_body(chunks(10 * MAX_DRAINED_BYTES, 65_536, sent)))
    assert MAX_BODY_BYTES < sum(sent) <= MAX_DRAINED_BYTES + 65_536


def test_sender_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    monkeypatch.setattr("serving.intake.READ_SECONDS", 0.05)
    with pytest.raises(EventRejected, match="did not arrive"):
        asyncio.run(read_body(stalling()))
