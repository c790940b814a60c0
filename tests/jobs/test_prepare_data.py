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
    assert facts["repeated"] == 1
    assert facts["users"] == 1
    assert (tmp_path / "out" / "history" / "events-malformed.jsonl").read_bytes() == b'{"event_id": "torn\n'


def test_shifted_log_ends_now_and_not_later(tmp_path: Path) -> None:
    write_kuairand(tmp_path)
    out = tmp_path / "out"
    assert main(["--data", f"kuairand:{tmp_path}", "--out", str(out), "--live", "2", "--shift-to-now"]) == 0
    last = json.loads((out / "live" / "events.jsonl").read_text().splitlines()[-1])
    age = datetime.now(UTC) - parse_time(last["event_time"])
    assert timedelta(0) <= age < timedelta(minutes=2)


def write_clicks(folder: Path, seconds: list[int]) -> Path:
    folder.mkdir()
    events = [
        {"event_id": f"e{n}", "event_time": f"2022-05-01T10:00:{second:02}Z", "action": "click", "user_id": "u",
         "item_id": f"i{n}"}
        for n, second in enumerate(seconds)
    ]  # fmt: skip
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    return folder


@pytest.mark.parametrize(("live", "n_live"), [("1", 3), ("0.2", 3), ("4", 4)])
def test_moment_is_not_split_between_history_and_live(tmp_path: Path, live: str, n_live: int) -> None:
    source = write_clicks(tmp_path / "source", [0, 1, 2, 2, 2])
    assert main(["--data", f"events:{source}", "--out", str(tmp_path / "out"), "--live", live]) == 0
    facts = json.loads((tmp_path / "out" / "source.json").read_text())
    assert facts["live"]["events"] == n_live
    assert facts["history"]["last"] < facts["live"]["first"]


def test_log_of_one_moment_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_clicks(tmp_path / "source", [2, 2, 2])
    assert main(["--data", f"events:{source}", "--out", str(tmp_path / "out"), "--live", "1"]) == 1
    assert "the source has 3 events" in capsys.readouterr().err


def test_limit_keeps_the_newest_and_unknown_items_are_counted(tmp_path: Path) -> None:
    source = write_clicks(tmp_path / "source", [0, 1, 2, 3])
    (source / "items.jsonl").write_text('{"item_id": "i3"}\n')
    options = ["--data", f"events:{source}", "--out", str(tmp_path / "out"), "--live", "1", "--limit", "3"]
    assert main(options) == 0
    facts = json.loads((tmp_path / "out" / "source.json").read_text())
    assert facts["history"]["first"] == "2022-05-01T10:00:01.000Z"
    assert (facts["items"], facts["of_unknown_items"]) == (1, 2)


@pytest.mark.parametrize("option", ["--live=-1", "--live=1.5", "--limit=0.5", "--limit=many"])
def test_number_that_makes_no_sense_is_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), option])


def test_log_shorter_than_the_live_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_kuairand(tmp_path)
    assert main(["--data", f"kuairand:{tmp_path}", "--out", str(tmp_path / "out"), "--live", "999"]) == 1
    assert "the live part takes 999" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
