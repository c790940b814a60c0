"""A source's training set in memory: the one that its folder holds, and no folder left."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from recloop.clock import to_ms
from recloop.errors import TrainingError
from recloop.settings import Settings
from tests.training.synthetic import N_DAYS, START, SyntheticSource
from training.data.dataset import TrainingSet
from training.source.read import read_source_set, source_folder

END = START + timedelta(days=N_DAYS)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_set_is_what_the_folder_of_that_source_holds(
    training_set: TrainingSet, quick_settings: Settings, place: Path
) -> None:
    found = read_source_set(SyntheticSource(), until=END, settings=quick_settings)
    assert (found.split, found.items.ids) == (training_set.split, training_set.items.ids)
    np.testing.assert_array_equal(found.examples.sampled, training_set.examples.sampled)
    np.testing.assert_array_equal(found.examples.items, training_set.examples.items)
    assert found.examples.sampled.any()
    assert list(place.iterdir()) == []


def test_set_that_judges_begins_where_it_is_told_and_has_no_sampled_negatives(
    quick_settings: Settings, place: Path
) -> None:
    first = END - timedelta(days=2)
    found = read_source_set(SyntheticSource(), until=END, judged_from=first, settings=quick_settings)
    assert found.split.holdout_ms == to_ms(first) <= found.examples.times_ms.min()
    assert not found.examples.sampled.any()
    assert found.interactions.times_ms.min() < found.split.holdout_ms


def test_negatives_are_drawn_from_the_seed_of_the_settings(quick_settings: Settings, place: Path) -> None:
    other = quick_settings.model_copy(update={"seed": quick_settings.seed + 1})
    one, again, another = (
        read_source_set(SyntheticSource(), until=END, settings=settings).examples.items.tolist()
        for settings in (quick_settings, quick_settings, other)
    )
    assert one == again != another


def test_folder_is_gone_after_an_error_too(quick_settings: Settings, place: Path) -> None:
    with pytest.raises(TrainingError):
        read_source_set(SyntheticSource(), until=START - timedelta(days=1), settings=quick_settings)

    def fail() -> None:
        with source_folder(SyntheticSource(), until=END, settings=quick_settings) as folder:
            assert folder.is_dir()
            raise TrainingError("made up")

    with pytest.raises(TrainingError, match="made up"):
        fail()
    assert list(place.iterdir()) == []
