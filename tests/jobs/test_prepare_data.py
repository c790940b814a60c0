"""Prepared folders: nothing is lost, the log ends now, a failed run leaves nothing."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.prepare_data import main, write_folder
from recloop.clock import parse_time
from recloop.errors import SourceError
from recloop.events import Action, Event
from tests.recloop.sources.conftest import write_event_files, write_kuairand
from tests.training.listed_source import ListedSource


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


def click(n: int) -> Event:
    moment = datetime(2022, 5, 1, tzinfo=UTC) + timedelta(seconds=n)
    return Event(event_id=f"e{n}", event_time=moment, action=Action.CLICK, user_id=f"u{n % 7}", item_id="i")


class Clicks(ListedSource):
    """Makes its events as they are asked for, `more` further ones at each reading, and sees how many are there."""

    def __init__(self, n: int, *, more: int = 0) -> None:
        super().__init__(())
        self.n, self.more, self.most_held = n, more, 0

    def events(self) -> Iterator[Event]:
        given: list[weakref.ref[Event]] = []
        for n in range(self.n):
            yield (event := click(n))
            given = [own for own in [*given, weakref.ref(event)] if own() is not None]
            self.most_held = max(self.most_held, len(given))
        self.n += self.more


def test_events_are_not_held(tmp_path: Path) -> None:
    source = Clicks(50)
    facts = write_folder(source, tmp_path, live=10, limit=40, shift_to_now=True)
    assert (facts["history"]["events"], facts["live"]["events"], facts["users"]) == (30, 10, 7)
    assert 0 < source.most_held < 5


def test_log_that_grew_while_it_was_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="had 50 events at first and 53 when it was read again"):
        write_folder(Clicks(50, more=3), tmp_path, live=10, limit=40, shift_to_now=False)


@pytest.mark.parametrize("option", ["--live=-1", "--live=1.5", "--limit=0.5", "--limit=many"])
def test_number_that_makes_no_sense_is_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), option])


def test_log_shorter_than_the_live_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_kuairand(tmp_path)
    assert main(["--data", f"kuairand:{tmp_path}", "--out", str(tmp_path / "out"), "--live", "999"]) == 1
    assert "the live part takes 999" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
