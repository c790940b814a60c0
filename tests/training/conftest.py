"""A training set of the synthetic log, and one bundle trained on it for all tests that need one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from recloop.settings import Settings
from tests.training.synthetic import write_training_set
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set

# As the commands set it, before anything loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
    return Settings(epochs=3, device="cpu", seed=5, ranker="transformer")


@pytest.fixture(scope="session")
def trained(folder: Path, quick_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A bundle trained on the folder, and what the command reported."""
    from training.train import train

    out = tmp_path_factory.mktemp("bundles") / "first"
    return out, train(folder, out, settings=quick_settings)
