"""Two training sets of one data source: what is learned from, and what judges it later."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from recloop.clock import format_time
from recloop.errors import TrainingError
from recloop.settings import Settings
from recloop.sources import open_source
from recloop.sources.base import moment
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.source.build import build_source_set

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
    window = timedelta(hours=settings.attribution_window_hours)
    with TemporaryDirectory(prefix="training-set-") as folder:
        learned, judged = Path(folder) / "learned", Path(folder) / "judged"
        build_source_set(source, learned, until=learned_end, window=window, seed=settings.seed)
        build_source_set(
            source, judged, until=last, examples_from=first, with_negatives=False, window=window, seed=settings.seed
        )
        return read_training_set(learned), read_training_set(judged)
