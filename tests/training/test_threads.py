"""Every library that trains or judges works with as many threads as the setting says, and no more."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from recloop.errors import ConfigurationError, TrainingError
from recloop.labels import Head
from tests.serving.encoder_graph import graph
from tests.training.plain_rows import planted_rows
from tests.training.ranker_maker import SMALL, make_items, make_rows
from training.benchmark import main
from training.data.dataset import TrainingSet
from training.scoring import load_encoder
from training.stacking.stack import train_stack
from training.threads import n_threads

N = 3


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As many as no default has; torch, which keeps them for the process, gets its own back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("RECLOOP_THREADS", str(N))
    yield
    torch.set_num_threads(before)


def test_number_is_that_of_the_setting() -> None:
    assert n_threads() == N


def test_number_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECLOOP_THREADS", "0")
    with pytest.raises(ConfigurationError, match="RECLOOP_THREADS is '0': Input should be greater than or equal to 1"):
        n_threads()


def test_transformer_learns_with_them(training_set: TrainingSet) -> None:
    import torch

    from training.retrieval.sequence import train_sequence

    # What there is to learn is looked at after the threads are set.
    nothing = dataclasses.replace(training_set.split, stack_ms=training_set.split.start_ms + 1)
    with pytest.raises(TrainingError):
        train_sequence(dataclasses.replace(training_set, split=nothing), epochs=1, seed=1, device="cpu")
    assert torch.get_num_threads() == N


def test_benchmark_learns_with_them(tmp_path: Path) -> None:
    import torch

    train, report = tmp_path / "train.txt", tmp_path / "report.json"
    train.write_text("".join(f"{user} {item}\n" for user in range(4) for item in range(5)))
    assert main(["next-item", "--train", str(train), "--report", str(report), "--epochs", "1"]) == 0
    assert torch.get_num_threads() == json.loads(report.read_text())["threads"] == N


def test_ranker_learns_with_them() -> None:
    import torch

    from training.ranker.trainer import train_ranker

    train_ranker(make_rows(), None, SMALL, items=make_items(), epochs=1, seed=1, device="cpu")
    assert torch.get_num_threads() == N


def test_trees_grow_with_them() -> None:
    assert f"[num_threads: {N}]" in train_stack(planted_rows(400, 1), seed=1).texts[Head.CLICK]


def test_graph_runs_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    made = []

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, *given: object, **more: object) -> None:
            super().__init__(*given, **more)
            made.append(self)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    path = tmp_path / "encoder.onnx"
    path.write_bytes(graph(5, 2, 0).SerializeToString())
    load_encoder(path)
    assert [session.get_session_options().intra_op_num_threads for session in made] == [N]
