"""A user's own log in the documented format: `events*.jsonl[.gz]` or `.parquet`, `items.jsonl`, `users.jsonl`.

docs/events.md describes the files. Bad lines of the event files are not judged here: they go into the lake as they are
and become counted rejects with a reason there. Only what cannot be read at all is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import SystemClock, format_time
from recloop.errors import EventRejected, SourceError
from recloop.events import Event, parse_event
from recloop.sources.base import read_json_lines, reading
from recloop.sources.folders import find_file

Row = TypeVar("Row", CatalogItem, CatalogUser)


class EventFiles:
    """The adapter of a folder."""

    name = "event files"
    utc_offset = timedelta(0)
    terms = "Your own data, under your own terms."

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.malformed: list[bytes] = []
        self.reason = ""
        self.repeated = 0

    def events(self) -> Iterator[Event]:
        """Yield the well-formed events, oldest first, each id once; the others' bytes are left in `malformed`."""
        now = SystemClock().now()
        self.malformed, self.reason, self.repeated = [], "", 0
        reasons: dict[str, int] = {}
        events: dict[str, Event] = {}
        for path in self._event_files():
            for payload in _payloads(path):
                try:
                    event = parse_event(payload, received_at=now)
                except EventRejected as error:
                    self.malformed.append(payload)
                    reasons[str(error)[:120]] = reasons.get(str(error)[:120], 0) + 1
                else:
                    self.repeated += event.event_id in events
                    events.setdefault(event.event_id, event)
        self.reason = next(iter(reasons), "")
        if not events:
            raise SourceError(
                f"{self._folder} holds no well-formed event in {len(self.malformed)} lines: {list(reasons)[:3]}."
            )
        yield from sorted(events.values(), key=lambda event: event.event_time)

    def items(self) -> Iterator[CatalogItem]:
        """Yield the items of `items.jsonl`; without that file, one bare item per id in the events."""
        path = find_file(self._folder, "items.jsonl")
        if path is not None:
            yield from _unique(path, CatalogItem)
            return
        yield from (CatalogItem(item_id=item_id) for item_id in dict.fromkeys(e.item_id for e in self.events()))

    def users(self) -> Iterator[CatalogUser]:
        """Yield the users of `users.jsonl`; none without that file."""
        path = find_file(self._folder, "users.jsonl")
        if path is not None:
            yield from _unique(path, CatalogUser)

    def _event_files(self) -> list[Path]:
        patterns = ("events*.jsonl", "events*.jsonl.gz", "events*.parquet")
        files = sorted({path for pattern in patterns for path in self._folder.glob(pattern)})
        if not files:
            raise SourceError(f"{self._folder} has none of {', '.join(patterns)}; see docs/events.md for the format.")
        return files


def _unique(path: Path, model: type[Row]) -> Iterator[Row]:
    seen: dict[str, int] = {}
    for line, row in enumerate(read_json_lines(path, model), start=1):
        key = row.item_id if isinstance(row, CatalogItem) else row.user_id
        if key in seen:
            raise SourceError(f"{path.name} row {line}: {key!r} stands in row {seen[key]} already; keep one of them.")
        seen[key] = line
        yield row


def _payloads(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        yield from _parquet_payloads(path)
        return
    with reading(path) as stream:
        yield from (line.strip().encode() for line in stream if line.strip())


def _parquet_payloads(path: Path) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                fields = {name: _plain(value) for name, value in row.items() if value is not None}
                # What JSON has no form for (dates, decimals, bytes) becomes text, for parse_event to judge.
                yield json.dumps(fields, ensure_ascii=False, default=str).encode()
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{path} cannot be read as Parquet: {error}. Export it again.") from error


def _plain(value: object) -> object:
    # A Parquet timestamp without a zone is UTC by the format's own rule for instants; ours asks for an offset.
    if isinstance(value, datetime):
        return format_time(value if value.tzinfo else value.replace(tzinfo=UTC))
    return value
