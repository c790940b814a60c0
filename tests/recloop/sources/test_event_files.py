"""A user's own log."""

from __future__ import annotations

import gzip
import json
import resource
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recloop.errors import SourceError
from recloop.sources.event_files import EventFiles


def write_parquet(folder: Path, **columns: list[Any]) -> Path:
    path = folder / "events.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def write_long_log(path: Path, n_events: int) -> None:
    fields = {"event_time": "2026-05-01T12:00:00Z", "action": "click", "user_id": "u", "item_id": "i"}
    path.write_text("".join(json.dumps({"event_id": f"e{n}"} | fields) + "\n" for n in range(n_events)))


def test_events_come_in_time_order_each_once(events_folder: Path) -> None:
    assert [event.event_id for event in EventFiles(events_folder).events()] == ["e1", "e2"]


def test_torn_line_is_kept_as_it_came(events_folder: Path) -> None:
    source = EventFiles(events_folder)
    list(source.events())
    assert list(source.malformed) == [b'{"event_id": "torn']
    assert source.reason.startswith("body: invalid JSON")


def test_catalogue_without_a_file_is_made_of_the_ids(events_folder: Path) -> None:
    (events_folder / "items.jsonl").unlink()
    assert [item.item_id for item in EventFiles(events_folder).items()] == ["i1", "i2"]


def test_duplicate_item_is_named(events_folder: Path) -> None:
    (events_folder / "items.jsonl").write_text('{"item_id": "a"}\n{"item_id": "a"}\n')
    with pytest.raises(SourceError, match="row 2: 'a' stands in row 1 already"):
        list(EventFiles(events_folder).items())


def test_duplicate_user_is_named(events_folder: Path) -> None:
    (events_folder / "users.jsonl").write_text('{"user_id": "a"}\n{"user_id": "b"}\n{"user_id": "a", "segment": "x"}\n')
    with pytest.raises(SourceError, match=r"users\.jsonl row 3: 'a' stands in row 1 already; keep one of them"):
        list(EventFiles(events_folder).users())


@pytest.mark.parametrize("damage", ["cut", "corrupt"])
@pytest.mark.parametrize("name", ["items", "users", "events"])
def test_gzip_file_that_is_not_whole_is_named(events_folder: Path, name: str, damage: str) -> None:
    for path in events_folder.iterdir():
        path.unlink()
    rows = [{f"{name.rstrip('s')}_id": f"{n * n:x}"} for n in range(2_000)]
    content = bytearray(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    if damage == "cut":
        del content[-9:]
    else:
        content[10] = 0xFF  # a kind of block that there is not
    (events_folder / f"{name}.jsonl.gz").write_bytes(content)
    with pytest.raises(
        SourceError, match=rf"{name}\.jsonl\.gz cannot be read to its end: .* Copy or download it again"
    ):
        list(getattr(EventFiles(events_folder), name)())


def test_bad_catalogue_row_names_line_and_field(events_folder: Path) -> None:
    (events_folder / "items.jsonl").write_text('{"item_id": "a"}\n{"item_id": 7}\n')
    with pytest.raises(SourceError, match=r"items\.jsonl line 2, item_id: .* found 7"):
        list(EventFiles(events_folder).items())


def test_truncated_file_is_named(events_folder: Path) -> None:
    content = gzip.compress((events_folder / "events.jsonl").read_bytes())
    (events_folder / "events.jsonl").unlink()
    (events_folder / "events.jsonl.gz").write_bytes(content[:-9])
    with pytest.raises(SourceError, match="cannot be read to its end"):
        list(EventFiles(events_folder).events())


def test_events_of_one_time_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    fields = {"event_time": "2026-05-01T12:00:00Z", "action": "click", "user_id": "u", "item_id": "i"}
    lines = [json.dumps({"event_id": event_id} | fields) for event_id in ("z", "a", "z", "m")]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    assert [event.event_id for event in EventFiles(tmp_path).events()] == ["z", "a", "m"]


def test_events_do_not_wait_in_memory(tmp_path: Path) -> None:
    """A log three times as long takes no more of it: with every event held, 1.5 MB more."""
    tracemalloc.start()
    peaks = []
    for n_events in (500, 1_500):
        write_long_log(tmp_path / "events.jsonl", n_events)
        tracemalloc.reset_peak()
        assert sum(1 for _ in EventFiles(tmp_path).events()) == n_events
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] - peaks[0] < 200_000


def test_full_disk_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    write_long_log(tmp_path / "events.jsonl", 30_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(SourceError, match=r"cannot be sorted on disk: .* name a folder with room in TMPDIR"):
            list(EventFiles(tmp_path).events())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_repeated_event_is_counted(events_folder: Path) -> None:
    source = EventFiles(events_folder)
    list(source.events())
    assert source.repeated == 1


def test_parquet_is_read_with_its_own_times(tmp_path: Path) -> None:
    moment = datetime(2022, 5, 1, 10, tzinfo=UTC)
    write_parquet(
        tmp_path,
        event_id=["e1", "e2"],
        event_time=[moment, moment.replace(tzinfo=None)],
        action=["click", "view"],
        user_id=["u", "u"],
        item_id=["i", "i"],
        dwell_ms=[None, 5],
    )
    events = list(EventFiles(tmp_path).events())
    assert [(e.event_id, e.event_time, e.dwell_ms) for e in events] == [("e1", moment, None), ("e2", moment, 5)]


def test_parquet_of_other_types_is_judged_row_by_row(tmp_path: Path) -> None:
    columns = {"event_id": ["e"], "event_time": [date(2022, 5, 1)], "action": ["click"], "user_id": [Decimal(7)]}
    write_parquet(tmp_path, **columns, item_id=[b"i"])
    with pytest.raises(SourceError, match="no well-formed event in 1 lines"):
        list(EventFiles(tmp_path).events())


def test_truncated_parquet_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, event_id=["e"])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        list(EventFiles(tmp_path).events())


def test_log_of_malformed_lines_only_is_an_error_with_reasons(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("nonsense\n")
    with pytest.raises(SourceError, match="no well-formed event in 1 lines"):
        list(EventFiles(tmp_path).events())


def test_folder_without_event_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has none of events\*"):
        list(EventFiles(tmp_path).events())
