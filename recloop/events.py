"""The event model: what traffic sends, what the topic carries, what the lake keeps.

`parse_event` is the one reader of event bytes: the API, the streaming job and the Spark job all call it, so what one
rejects, all reject, with the same field and reason. docs/events.md is the page for senders.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from recloop.clock import EPOCH, format_time
from recloop.errors import EventRejected

MAX_EVENT_BYTES = 16_384
MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of the receiver's clock an event may be: senders' clocks are never exact."""


class Action(StrEnum):
    """What happened between a user and an item; all but `impression` are interactions."""

    IMPRESSION = "impression"
    CLICK = "click"
    VIEW = "view"
    LONG_VIEW = "long_view"
    SAVE = "save"
    LIKE = "like"
    SHARE = "share"
    FOLLOW = "follow"
    COMMENT = "comment"
    PURCHASE = "purchase"
    HIDE = "hide"


INTERACTIONS = tuple(action for action in Action if action is not Action.IMPRESSION)


def _plain(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable, without blanks around it")
    return text


Identifier = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_plain)]
Label = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_plain)]


class Event(BaseModel):
    """One immutable fact. Unknown fields are ignored here and kept in the raw table's payload."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    event_id: Identifier = Field(description="Unique per event; a repeat is dropped.")
    event_time: AwareDatetime = Field(description="When it happened: RFC 3339 with an offset.")
    action: Annotated[Action, Field(strict=False)] = Field(description="What happened.")
    user_id: Identifier = Field(description="Who.")
    item_id: Identifier = Field(description="With which item.")
    slate_id: Identifier | None = Field(None, description="The slate that showed the item.")
    position: int | None = Field(None, ge=0, le=10_000, description="Place in the slate, 0 at the top.")
    propensity: float | None = Field(None, gt=0, le=1, description="Chance that the policy showed this item here.")
    model_version: Label | None = Field(None, description="Model that made the slate.")
    dwell_ms: int | None = Field(None, ge=0, le=86_400_000, description="How long the item was looked at (view).")
    duration_ms: int | None = Field(None, ge=0, le=86_400_000, description="Full length of the item, if it has one.")
    surface: Label | None = Field(None, description="Where in the product: home, search, …")
    device: Label | None = Field(None, description="phone, web, …")

    def to_json(self) -> bytes:
        """Return the canonical bytes: UTC time with milliseconds, no nulls."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":")).encode()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dict, `event_time` as text."""
        fields = self.model_dump(exclude_none=True, mode="json")
        fields["event_time"] = format_time(self.event_time)
        return fields


def parse_event(payload: bytes | str, *, received_at: datetime) -> Event:
    """Read one event.

    Args:
        payload: the bytes as they came.
        received_at: the receiver's clock; an event more than MAX_CLOCK_SKEW ahead of it is rejected.

    Raises:
        EventRejected: with the first bad field and the reason.
    """
    size = len(payload)
    if size > MAX_EVENT_BYTES:
        raise EventRejected("body", f"has {size} bytes; an event may have at most {MAX_EVENT_BYTES}")
    try:
        event = Event.model_validate_json(payload)
    except ValidationError as error:
        raise _rejection(error) from error
    if event.event_time > received_at + MAX_CLOCK_SKEW:
        raise EventRejected(
            "event_time",
            # As it was sent: at the end of year 9999 some offsets have no time in UTC that could be printed.
            f"{event.event_time.isoformat()} lies in the future: it was received at {format_time(received_at)}",
        )
    if event.event_time < EPOCH:
        raise EventRejected("event_time", f"{event.event_time.isoformat()} lies before 1970")
    return event


def _rejection(error: ValidationError) -> EventRejected:
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    reason = first["msg"][:1].lower() + first["msg"][1:]
    found = repr(first["input"])[:80]
    return EventRejected(field, reason if first["type"] in {"missing", "json_invalid"} else f"{reason}; found {found}")
