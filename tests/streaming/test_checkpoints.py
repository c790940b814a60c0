"""The newest complete Flink checkpoint is found, cut-off ones are not."""

from __future__ import annotations

import os
from pathlib import Path

from jobs.streaming.checkpoints import newest_checkpoint, remove_leftovers


def checkpoint(folder: Path, run: str, number: int, *, at: int, content: str = "state") -> Path:
    path = folder / run / f"chk-{number}"
    path.mkdir(parents=True)
    (path / "_metadata").write_text(content)
    os.utime(path / "_metadata", (at, at))
    return path


def test_no_folder_and_no_complete_checkpoint_give_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "missing") is None
    (tmp_path / "run" / "chk-1").mkdir(parents=True)
    checkpoint(tmp_path, "run", 2, at=5, content="")
    assert newest_checkpoint(tmp_path) is None


def test_newest_in_time_wins_over_the_higher_number_of_an_earlier_run(tmp_path: Path) -> None:
    checkpoint(tmp_path, "first", 10, at=100)
    newest = checkpoint(tmp_path, "second", 9, at=200)
    assert newest_checkpoint(tmp_path) == newest


def test_number_decides_within_one_moment(tmp_path: Path) -> None:
    checkpoint(tmp_path, "run", 9, at=100)
    newest = checkpoint(tmp_path, "run", 10, at=100)
    assert newest_checkpoint(tmp_path) == newest


def test_only_runs_without_a_complete_checkpoint_are_removed(tmp_path: Path) -> None:
    kept = checkpoint(tmp_path, "kept", 1, at=1)
    (tmp_path / "empty" / "shared").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert kept.exists()
    assert not (tmp_path / "empty").exists()
