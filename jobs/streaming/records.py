"""From a Kafka record to a user's entry, or to a reject with the original bytes. Nothing here raises.

In: payload, Kafka partition, offset and timestamp. Out: `Accepted`, `Rejected`, or None for a good event that is no
interaction.
"""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from recloop.errors import EventRejected
from recloop.events import parse_event
from recloop.sequences import Entry, entry
from recloop.tables import Column

MAX_REJECTED_BYTES = 2 * 1024 * 1024
"""Longer payloads are cut in the reject: base64 adds a third, and the topic takes 3 MiB. Kafka's own limit on
`events.v1` is 1 MiB, but it counts compressed bytes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One Kafka record; `ingest_time` is Kafka's timestamp as Flink SQL prints it in UTC."""

    payload: bytes | None
    kafka_partition: int
    kafka_offset: int
    ingest_time: str


@dataclass(frozen=True)
class Accepted:
    """An interaction, ready for its user's sequence."""

    user_id: str
    entry: Entry


@dataclass(frozen=True)
class Rejected:
    """The value written to the rejects topic."""

    value: str


def read_record(record: Record) -> Accepted | Rejected | None:
    """Parse one record; whatever is wrong with it becomes a reject."""
    try:
        return _accept(record)
    except EventRejected as rejection:
        return Rejected(reject_value(record, rejection.field, rejection.reason))
    except Exception as error:
        # A record that stops the job would stop it again after every restart.
        log.exception("partition %d, offset %d cannot be read", record.kafka_partition, record.kafka_offset)
        return Rejected(reject_value(record, "body", f"cannot be read: {type(error).__name__}: {error}"))


def reject_value(record: Record, field: str, reason: str) -> str:
    """Return the JSON of a reject: where the record lies, what is wrong with it, and its bytes."""
    payload = record.payload or b""
    facts: dict[str, object] = {
        Column.FIELD: field,
        Column.REASON: reason,
        f"{Column.PAYLOAD}_base64": base64.b64encode(payload[:MAX_REJECTED_BYTES]).decode("ascii"),
        Column.KAFKA_PARTITION: record.kafka_partition,
        Column.KAFKA_OFFSET: record.kafka_offset,
        Column.INGEST_TIME: record.ingest_time.replace(" ", "T") + "Z",
    }
    if len(payload) > MAX_REJECTED_BYTES:
        facts["payload_cut_from_bytes"] = len(payload)
    return json.dumps(facts, separators=(",", ":"))


def _accept(record: Record) -> Accepted | None:
    if record.payload is None:
        raise EventRejected("body", "is null; an event is a JSON object")
    received_at = datetime.fromisoformat(record.ingest_time).replace(tzinfo=UTC)
    event = parse_event(record.payload, received_at=received_at)
    new = entry(event)
    return None if new is None else Accepted(event.user_id, new)
