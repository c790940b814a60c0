"""Take a request's body apart into events: bounded while it is read, all of it or nothing.

In: the bytes as they arrive. Out: the events with their own bytes, or the problems, each with the place of the event,
the field and the reason. What is accepted goes on as it came, so that fields unknown here stay in the raw table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json, to_json

from recloop.errors import EventRejected
from recloop.events import Event, parse_event

MAX_BODY_BYTES = 1_048_576
MAX_EVENTS = 1_000
MAX_PROBLEMS = 100
"""Most problems an answer names: a sender with a wrong format has one problem, not a thousand."""

MAX_DRAINED_BYTES = 16 * MAX_BODY_BYTES
"""A body that is too long is read on so far and thrown away: a sender cut off while sending never sees the answer."""

READ_SECONDS = 10.0
LINES = "application/x-ndjson"


@dataclass(frozen=True)
class Received:
    """One well-formed event and the bytes it came in."""

    event: Event
    payload: bytes


@dataclass(frozen=True)
class Problem:
    """Why one event is malformed; `index` is its place in the request, from 0."""

    index: int
    field: str
    reason: str


async def read_body(stream: AsyncIterator[bytes]) -> bytes:
    """Read a body of at most MAX_BODY_BYTES; more is never held in memory.

    Raises:
        EventRejected: it is longer, or did not arrive within READ_SECONDS.
    """
    size, chunks = 0, []
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in stream:
                size += len(chunk)
                if size <= MAX_BODY_BYTES:
                    chunks.append(chunk)
                elif size > MAX_DRAINED_BYTES:
                    break
                else:
                    chunks.clear()
    except TimeoutError:
        raise EventRejected("body", f"did not arrive within {READ_SECONDS:.0f} s") from None
    if size > MAX_BODY_BYTES:
        raise EventRejected("body", f"is longer than {MAX_BODY_BYTES} bytes; send fewer events at once")
    return b"".join(chunks)


def parse_body(body: bytes, *, received_at: datetime, media_type: str = "") -> tuple[list[Received], list[Problem]]:
    """Parse one event, a JSON array of events or, with media type LINES, one event per line.

    Either list is empty: when any event is malformed, none is returned.
    """
    try:
        payloads = _split(body, media_type)
    except EventRejected as rejected:
        return [], [Problem(0, rejected.field, rejected.reason)]
    received, problems = [], []
    for index, payload in enumerate(payloads):
        try:
            received.append(Received(parse_event(payload, received_at=received_at), payload))
        except EventRejected as rejected:
            problems.append(Problem(index, rejected.field, rejected.reason))
    return ([], problems) if problems else (received, [])


def _split(body: bytes, media_type: str) -> list[bytes]:
    if media_type == LINES:
        payloads = [line for line in body.splitlines() if line.strip()]
    elif body.lstrip()[:1] == b"[":
        try:
            payloads = [to_json(element) for element in from_json(body, allow_inf_nan=False)]
        except ValueError as error:
            raise EventRejected("body", f"is no JSON: {error}") from error
    else:
        return [body]
    if not 1 <= len(payloads) <= MAX_EVENTS:
        raise EventRejected("body", f"has {len(payloads)} events; a request has 1 to {MAX_EVENTS}")
    return payloads
