"""The ranker's checkpoint file: whole or not there, and of one run only."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.training.ranker_maker import SMALL, make_items, make_rows
from training.checkpoint import read_checkpoint, run_identity, write_checkpoint


def test_what_was_written_is_read_by_the_same_run_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import torch

    path = tmp_path / "new" / "ranker.pt"
    assert read_checkpoint(path, "a", "cpu") is None
    write_checkpoint(path, "a", {"weights": {"x": torch.arange(3)}, "curve": [{"loss": 0.5}]})
    state = read_checkpoint(path, "a", "cpu")
    assert state is not None
    assert state["weights"]["x"].tolist() == [0, 1, 2]
    assert state["curve"] == [{"loss": 0.5}]
    assert not caplog.records
    assert read_checkpoint(path, "b", "cpu") is None
    assert "other data or settings" in caplog.text


def test_file_that_is_no_checkpoint_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ranker.pt").write_bytes(b"half a file")
    assert read_checkpoint(tmp_path / "ranker.pt", "a", "cpu") is None
    assert "cannot be read" in caplog.text


def test_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ranker.pt"
    write_checkpoint(path, "a", {"epoch": 1})

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(path, "a", {"epoch": 2})
    assert read_checkpoint(path, "a", "cpu") == {"run": "a", "epoch": 1}


def test_identity_is_of_all_data_and_settings() -> None:
    rows, items = make_rows(), make_items()
    numbers = rows.numbers.copy()
    numbers[3, 1] += 1
    same = run_identity((make_rows(), make_items()), (SMALL, 7))
    others = {
        run_identity((make_rows(seed=1), items), (SMALL, 7)),
        run_identity((dataclasses.replace(rows, numbers=numbers), items), (SMALL, 7)),
        run_identity((rows, make_items(vectors=False)), (SMALL, 7)),
        run_identity((rows, items), (dataclasses.replace(SMALL, n_layers=1), 7)),
        run_identity((rows, items), (SMALL, 8)),
    }
    assert run_identity((rows, items), (SMALL, 7)) == same
    assert len(others) == 5
    assert same not in others
