"""Prepared folders: nothing is lost, the log ends now, a failed run leaves nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.prepare_data import main
from recloop.clock import parse_time
from tests.recloop.sources.conftest import write_event_files, write_kuairand


def test_every_line_is_in_history_live_or_malformed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_event_files(source)
    assert main(["--data", f"events:{source}", "--out", str(tmp_path / "out"), "--live", "1"]) == 0
    facts = json.loads((tmp_path / "out" / "source.json").read_text())
    assert (facts["history"]["events"], facts["live"]["events"], facts["malformed"]) == (1, 1, 1)
    assert (tmp_path / "out" / "history" / "events-malformed.jsonl").read_bytes() == b'{"event_id": "torn\n'


def test_shifted_log_ends_now_and_not_later(tmp_path: Path) -> None:
    write_kuairand(tmp_path)
    out = tmp_path / "out"
    assert main(["--data", f"kuairand:{tmp_path}", "--out", str(out), "--live", "2", "--shift-to-now"]) == 0
    last = json.loads((out / "live" / "events.jsonl").read_text().splitlines()[-1])
    age = datetime.now(UTC) - parse_time(last["event_time"])
    assert timedelta(0) <= age < timedelta(minutes=2)


def test_log_shorter_than_the_live_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_kuairand(tmp_path)
    assert main(["--data", f"kuairand:{tmp_path}", "--out", str(tmp_path / "out"), "--live", "999"]) == 1
    assert "the live part takes 999" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
