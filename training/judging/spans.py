"""Two training sets of one data source: what is learned from, and what judges it later."""

from __future__ import annotations

from datetime import date, datetime

from recloop.clock import format_time
from recloop.errors import TrainingError
from recloop.settings import Settings
from recloop.sources import open_source
from recloop.sources.base import moment
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.source.read import source_folder

Day = date | datetime


def read_sets(data: str, *, until: Day, start: Day, end: Day, settings: Settings) -> tuple[TrainingSet, TrainingSet]:
    """Read what is learned from, up to a day, and what judges, of later days; days are whole and of the source.

    They are made apart, so that nothing learned from can have looked past its end.

    Raises:
        SourceError: a file of the source is missing, or is not what its format says.
        TrainingError: the days are not in this order, or have no events.
    """
    source = open_source(data, downloads=settings.var_dir / "data")
    learned_end = moment(source, until, ends=True)
    first, last = moment(source, start), moment(source, end, ends=True)
    if not learned_end <= first < last:
        raise TrainingError(
            f"what is learned from ends at {format_time(learned_end)}, what judges begins at {format_time(first)} and "
            f"ends at {format_time(last)}; expected them in this order."
        )
    # Both are made before either is held in memory.
    with (
        source_folder(source, until=learned_end, settings=settings) as learned,
        source_folder(source, until=last, judged_from=first, settings=settings) as judged,
    ):
        return read_training_set(learned), read_training_set(judged)
