"""The ranker's checkpoint file: whole or not there, and of one run only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.ranker_maker import SMALL, make_items, make_rows
from training.checkpoint import FORMAT, read_checkpoint, run_identity, write_checkpoint
from training.ranker.trainer import train_ranker
from training.retrieval.item_sequences import ItemSequences
from training.retrieval.next_item import Recipe, fit
from training.retrieval.sequence_model import Shape


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


def test_checkpoint_of_an_earlier_version_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import torch

    path = tmp_path / "ranker.pt"
    torch.save({"run": "a", "model": {}, "optimizer": {}, "rates": {}, "best": {}, "curve": []}, path)
    assert read_checkpoint(path, "a", "cpu") is None
    assert f"{path} has format 1, this code reads {FORMAT}; training starts anew" in caplog.text


def test_what_trainers_keep_has_the_names_of_the_format(tmp_path: Path) -> None:
    import torch

    run: dict[str, Any] = {"seed": 1, "device": "cpu"}
    train_ranker(make_rows(), None, SMALL, items=make_items(), epochs=1, checkpoint=tmp_path / "ranker.pt", **run)
    data = ItemSequences(("u",), ("a", "b", "c"), (np.array([0, 1, 2]),))
    recipe = Recipe(Shape(n_dimensions=8, n_layers=1, max_length=2), epochs=1)
    fit(data, recipe, patience=1, checkpoint=tmp_path / "fit.pt", **run)
    files = sorted(tmp_path.iterdir())
    names = {file.name: sorted(names_in(torch.load(file, weights_only=True))) for file in files}
    assert {"meter.flops", "curve.seconds", "model.heads.bias"} < set(names["ranker.pt"])
    found = FORMAT, blake2b(json.dumps(names).encode(), digest_size=8).hexdigest()
    assert found == (2, "7526eebfe62e26ab"), "other names are another format: raise FORMAT, then write both here"


def names_in(part: Any, name: str = "") -> Iterator[str]:
    """Yield the names of all that a trainer keeps, parts of parts too; what is in torch's own parts is torch's."""
    if isinstance(part, dict) and name not in ("optimizer.", "rates."):
        for key, own in part.items():
            yield from names_in(own, f"{name}{key}.")
    elif isinstance(part, list) and part and isinstance(part[0], dict):
        yield from names_in(part[0], name)
    else:
        yield name.removesuffix(".")


def test_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ranker.pt"
    write_checkpoint(path, "a", {"epoch": 1})

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(path, "a", {"epoch": 2})
    assert read_checkpoint(path, "a", "cpu") == {"format": FORMAT, "run": "a", "epoch": 1}


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
