"""The training set of a data source in memory, by way of a folder that is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from recloop.settings import Settings
from recloop.sources import Source
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.source.build import build_source_set


def read_source_set(
    source: Source, *, until: datetime, settings: Settings, judged_from: datetime | None = None
) -> TrainingSet:
    """Return the training set of everything before `until`.

    With `judged_from` it is one that judges: its examples begin there, and none of them is a sampled negative.

    Raises:
        SourceError: a file of the source is missing, or is not what its format says.
        TrainingError: nothing lies in a span that needs something.
    """
    with source_folder(source, until=until, settings=settings, judged_from=judged_from) as folder:
        return read_training_set(folder)


@contextmanager
def source_folder(
    source: Source, *, until: datetime, settings: Settings, judged_from: datetime | None = None
) -> Iterator[Path]:
    """Yield the training-set folder of everything before `until`; see `read_source_set`."""
    with TemporaryDirectory(prefix="training-set-") as place:
        folder = Path(place) / "set"
        build_source_set(
            source,
            folder,
            until=until,
            examples_from=judged_from,
            with_negatives=judged_from is None,
            window=timedelta(hours=settings.attribution_window_hours),
            seed=settings.seed,
        )
        yield folder
