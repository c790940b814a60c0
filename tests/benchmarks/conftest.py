"""The training set of the synthetic log, as the tests of training have it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest

from recloop.settings import Settings
from tests.training.quick import quick_trainings
from tests.training.synthetic import N_DAYS, START, SyntheticSource
from training.data.dataset import TrainingSet
from training.source.read import read_source_set

# As the commands set it, before anything loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    with quick_trainings():
        yield


@pytest.fixture(scope="session")
def quick_settings() -> Settings:
    return Settings(epochs=1, ranker_epochs=1, device="cpu", seed=5)


@pytest.fixture(scope="session")
def training_set(quick_settings: Settings) -> TrainingSet:
    return read_source_set(SyntheticSource(), until=START + timedelta(days=N_DAYS), settings=quick_settings)
