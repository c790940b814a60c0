"""Events out of files: every line lands as it came, a torn file is named with its line."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.etl.event_files import BATCH_ROWS, find_event_files, origin, read_batches
from recloop.errors import SourceError
from tests.lake import DAY_0


def payloads(path: Path) -> list[bytes]:
    return [row for batch in read_batches(path, "x") for row in batch.column("payload").to_pylist()]


def test_lines_land_as_they_came_whatever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a": 1}\n\xff\xfe not utf-8\n\r\n{"torn": ')
    assert payloads(path) == [b'{"a": 1}', b"\xff\xfe not utf-8", b"", b'{"torn": ']


def test_offset_is_the_line_number_across_batches(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"{}\n" * (BATCH_ROWS + 2))
    offsets = [row for batch in read_batches(path, "x") for row in batch.column("kafka_offset").to_pylist()]
    assert offsets == list(range(BATCH_ROWS + 2))


def test_parquet_rows_become_events_with_a_zone_where_they_had_one(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    naive = datetime(2022, 5, 1)  # noqa: DTZ001 - the case under test
    table = pa.table({"event_id": ["a"], "event_time": [DAY_0], "naive": [naive], "dwell_ms": [5], "slate_id": [None]})
    pq.write_table(table, path)
    assert [json.loads(row) for row in payloads(path)] == [
        {"event_id": "a", "event_time": "2022-05-01T00:00:00.000Z", "naive": "2022-05-01T00:00:00", "dwell_ms": 5}
    ]


def test_truncated_gzip_is_named_with_the_line_it_broke_after(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(b'{"n": %d}\n' % n for n in range(50_000)))[:-200])
    with pytest.raises(SourceError, match=r"events.jsonl.gz cannot be read after line \d{4,}"):
        payloads(path)


def test_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match=r"events\.parquet cannot be read after line 0"):
        payloads(path)


def test_only_event_files_are_found(tmp_path: Path) -> None:
    for name in ("events.jsonl", "events-2.jsonl.gz", "events.parquet", "items.jsonl", "events.csv"):
        (tmp_path / name).touch()
    assert [path.name for path in find_event_files(tmp_path)] == ["events-2.jsonl.gz", "events.jsonl", "events.parquet"]


def test_folder_without_event_files_says_what_it_expects(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected events\*.jsonl"):
        find_event_files(tmp_path)


def test_origin_tells_contents_apart_not_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first, copy, other = tmp_path / "events.jsonl", tmp_path / "a" / "events.jsonl", tmp_path / "a" / "events-2.jsonl"
    first.write_text("{}\n")
    copy.write_text("{}\n")
    other.write_text("{} \n")
    assert origin(first) == origin(copy)
    assert origin(first).partition(":")[2].partition(":")[2] != origin(other).partition(":")[2].partition(":")[2]
