"""A user's own log in the documented format: `events*.jsonl[.gz]` or `.parquet`, `items.jsonl`, `users.jsonl`.

docs/events.md describes the files. Bad lines of the event files are not judged here: they go into the lake as they are
and become counted rejects with a reason there. Only what cannot be read at all is an error.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TypeVar

from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import EPOCH, SystemClock, format_time
from recloop.errors import EventRejected, SourceError
from recloop.events import Event, parse_event
from recloop.sources.base import read_json_lines, reading
from recloop.sources.folders import find_file

Row = TypeVar("Row", CatalogItem, CatalogUser)
MICROSECOND = timedelta(microseconds=1)


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
        """Yield the well-formed events, oldest first, each id once; the others' bytes are left in `malformed`.

        Reads every file to its end before the first event. They wait in a temporary database on disk, so that memory
        does not grow with their number.
        """
        # A database without a name is SQLite's own temporary file, gone when it is closed.
        with closing(sqlite3.connect("")) as kept:
            try:
                self._keep(kept)
                for (payload,) in kept.execute("SELECT payload FROM events ORDER BY microseconds, rowid"):
                    yield Event.model_validate_json(payload)
            except sqlite3.Error as error:
                raise SourceError(
                    f"the events of {self._folder} cannot be sorted on disk: {error}. Make room where temporary files "
                    "are, or name a folder with room in TMPDIR."
                ) from error

    def _keep(self, kept: sqlite3.Connection) -> None:
        """Put each event that is well-formed and new into a table; count and keep the others."""
        now = SystemClock().now()
        self.malformed, self.reason, self.repeated = [], "", 0
        reasons: dict[str, int] = {}
        kept.execute("CREATE TABLE events (event_id TEXT PRIMARY KEY, microseconds INTEGER, payload BLOB)")
        for payload in chain.from_iterable(map(_payloads, self._event_files())):
            try:
                event = parse_event(payload, received_at=now)
            except EventRejected as error:
                self.malformed.append(payload)
                reasons[str(error)[:120]] = reasons.get(str(error)[:120], 0) + 1
            else:
                row = event.event_id, (event.event_time - EPOCH) // MICROSECOND, payload
                self.repeated += 1 - kept.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?)", row).rowcount
        self.reason = next(iter(reasons), "")
        if not kept.total_changes:
            raise SourceError(
                f"{self._folder} holds no well-formed event in {len(self.malformed)} lines: {list(reasons)[:3]}."
            )

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
