from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from demo.clients import TaskResult
from demo.report import Report, latency, show

KEYS = {
    "total_seconds", "peak_memory_mb", "event_to_slate_ms", "swap_seconds", "rollback_seconds", "failed_requests",
    "offline", "stages", "data", "commit",
}  # fmt: skip


def test_file_has_the_keys_that_others_read(tmp_path: Path) -> None:
    Report(data="movielens", commit="c").write(tmp_path / "demo" / "report.json")
    assert set(json.loads((tmp_path / "demo" / "report.json").read_text())) >= KEYS


def test_tasks_that_counted_rows_become_stages() -> None:
    report = Report(data="d", commit="c")
    counted = {"rows_in": 3, "rows_out": 2, "seconds": 1.5, "peak_memory_mb": 9.0}
    report.add_tasks("ingest_hourly", [TaskResult("land_events", "success", counted), TaskResult("x", "success", {})])
    assert [(stage.name, stage.rows_in, stage.rows_out) for stage in report.stages] == [
        ("ingest_hourly.land_events", 3, 2)
    ]


def test_latency_of_known_times() -> None:
    assert latency([float(n) for n in range(1, 102)]) == {"p50": 51.0, "p95": 96.0, "n": 101}


def test_latency_of_nothing_is_said() -> None:
    assert latency([]) == {"n": 0}


def test_empty_report_can_be_shown() -> None:
    console = Console(record=True, width=120)
    show(Report(data="d", commit="c"), console)
    assert "Offline metrics" in console.export_text()
