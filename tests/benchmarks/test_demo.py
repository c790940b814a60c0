"""The report of a demo, kept as a result: with its machine, and without what is of one machine alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import demo

FIGURES: dict[str, Any] = {
    "total_seconds": 600, "peak_memory_mb": 4_800, "event_to_slate_ms": {"p50": 17}, "swap_seconds": 0.4,
    "rollback_seconds": 0.7, "failed_requests": 0, "offline": {"model": {"ndcg_at_10": 0.2}},
}  # fmt: skip


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where the demo left its report, and where results go."""
    monkeypatch.setenv("RECLOOP_VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setattr(demo, "RESULTS", tmp_path / "results")
    for folder in ("var/demo", "results"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path / "var" / "demo" / "report.json", tmp_path / "results"


def test_figures_are_kept_with_the_machine_and_without_addresses_and_paths(
    places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    report, results = places
    report.write_text(json.dumps(FIGURES | {"data": "kuairand:/somebody's/folder", "addresses": {"serving": "x"}}))
    assert demo.main([]) == 0
    assert [path.name for path in results.iterdir()] == ["demo-kuairand.json"]
    kept = json.loads((results / "demo-kuairand.json").read_text())
    machine = kept.pop("machine")
    assert kept == FIGURES | {"data": "kuairand"}
    assert machine["cores"] == os.cpu_count()
    assert machine["memory_gib"] > 0
    assert json.loads(capsys.readouterr().out) == FIGURES


def test_report_that_is_not_there_yet_is_said(places: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main([]) == 1
    assert f"{places[0]} is not there; `make demo` writes it." in capsys.readouterr().err
    assert list(places[1].iterdir()) == []
