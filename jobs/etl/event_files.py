"""Raw events out of files: each line, or each Parquet row, becomes one payload with its place."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recloop.clock import format_time
from recloop.errors import SourceError
from recloop.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa

PATTERNS = ("events*.jsonl", "events*.jsonl.gz", "events*.parquet")
BATCH_ROWS = 20_000


def find_event_files(folder: Path) -> list[Path]:
    """Return the event files of a folder, by name.

    Raises:
        SourceError: there is none.
    """
    files = sorted({path for pattern in PATTERNS for path in folder.glob(pattern)})
    if not files:
        raise SourceError(f"{folder} has no event file; expected {' or '.join(PATTERNS)}. Run jobs.prepare_data first.")
    return files


def origin(path: Path) -> str:
    """Return the file's name and a hash of its content: the same file lands once, another one of its name lands too."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return f"file:{path.name}:{digest.hexdigest()[:16]}"


def read_batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """Yield batches of (payload, origin, kafka_offset), where the offset is the line or row number from 0.

    Raises:
        SourceError: the file ends too early or is not what its name says; the message has the line.
    """
    import pyarrow as pa

    rows: list[bytes] = []
    number = 0
    try:
        for payload in _payloads(path):
            rows.append(payload)
            if len(rows) == BATCH_ROWS:
                yield _batch(rows, name, number)
                number, rows = number + len(rows), []
    except (EOFError, OSError, gzip.BadGzipFile, pa.ArrowInvalid) as error:
        raise SourceError(
            f"{path.name} cannot be read after line {number + len(rows)}: {error}. Copy or export the file again."
        ) from error
    if rows:
        yield _batch(rows, name, number)


def _payloads(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        yield from _parquet_payloads(path)
        return
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        for line in stream:
            yield line.rstrip(b"\r\n")


def _parquet_payloads(path: Path) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
        for row in batch.to_pylist():
            fields = {name: _json_value(value) for name, value in row.items() if value is not None}
            yield json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        # A time without a zone stays without one, so that the event is rejected and not guessed.
        return format_time(value) if value.tzinfo else value.isoformat()
    return value if isinstance(value, str | int | float | bool) else str(value)


def _batch(rows: list[bytes], name: str, first: int) -> pa.RecordBatch:
    import pyarrow as pa

    columns: list[pa.Array] = [
        pa.array(rows, pa.binary()),
        pa.array([name] * len(rows), pa.string()),
        pa.array(range(first, first + len(rows)), pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(columns, names=[Column.PAYLOAD, Column.ORIGIN, Column.KAFKA_OFFSET])
