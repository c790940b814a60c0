"""A training set of the synthetic log, and one bundle trained on it for all tests that need one."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from recloop.settings import Settings
from tests.training.quick import quick_trainings
from tests.training.synthetic import write_training_set
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set

# As the commands set it, before anything loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    with quick_trainings():
        yield


@pytest.fixture(scope="session", autouse=True)
def one_export() -> Iterator[None]:
    """Make the graph of a model once for the same weights: runs that go on are to end with those of an earlier run."""
    from training.ranker.scoring import export_ranker
    from training.retrieval.sequence import encoder_graph

    made: dict[str, bytes] = {}

    def once(model: Any, make: Callable[[], bytes]) -> bytes:
        key = hashlib.sha256(repr(model).encode())
        for name, part in model.state_dict().items():
            key.update(name.encode() + part.cpu().numpy().tobytes())
        if key.hexdigest() not in made:
            made[key.hexdigest()] = make()
        return made[key.hexdigest()]

    def ranker_graph(model: Any, path: Path) -> bytes:
        export_ranker(model, path)
        return path.read_bytes()

    def encode(model: Any) -> bytes:
        return once(model, partial(encoder_graph, model))

    def export(model: Any, path: Path) -> None:
        path.write_bytes(once(model, partial(ranker_graph, model, path)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.retrieval.sequence.encoder_graph", encode)
        patch.setattr("training.bundle.export_ranker", export)
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training-set folder; never changed, copy it to break it."""
    return write_training_set(tmp_path_factory.mktemp("training-set") / "set")


@pytest.fixture
def broken_folder(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may break."""
    return Path(shutil.copytree(folder, tmp_path / "set"))


@pytest.fixture(scope="session")
def training_set(folder: Path) -> TrainingSet:
    return read_training_set(folder)


@pytest.fixture(scope="session")
def quick_settings() -> Settings:
    return Settings(epochs=3, ranker_epochs=1, device="cpu", seed=5, ranker="transformer")


@pytest.fixture(scope="session")
def trained(folder: Path, quick_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A bundle trained on the folder, and what the command reported."""
    from training.train import train

    out = tmp_path_factory.mktemp("bundles") / "first"
    return out, train(folder, out, settings=quick_settings)
