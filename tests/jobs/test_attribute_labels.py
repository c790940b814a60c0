"""The label job over the lake; the rule itself is held in tests/parity/test_spark_labels.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.etl.attribute_labels import label
from jobs.etl.lake import append
from recloop.events import Event
from recloop.tables import CLEAN_EVENTS, LABELS
from tests.lake import DAY_0, clean_frame, event

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
WINDOW = timedelta(hours=24)


def add(spark: SparkSession, log: Sequence[Event], *, lag: timedelta = timedelta(0)) -> None:
    append(clean_frame(spark, log, lag=lag), CLEAN_EVENTS)


def labels(spark: SparkSession) -> dict[str, tuple[Any, ...]]:
    rows = spark.table(LABELS.full_name).collect()
    return {row["label_id"]: (row["origin"], row["click"], row["like"]) for row in rows}


def test_interaction_after_midnight_counts_for_the_impression_before(empty_lake: SparkSession) -> None:
    add(empty_lake, [event("shown", "impression", at=DAY_0 + 23 * HOUR), event("done", "click", at=DAY_0 + 25 * HOUR)])
    label(empty_lake, start=DAY_0 + DAY, end=DAY_0 + 2 * DAY, window=WINDOW)
    assert labels(empty_lake) == {"shown": ("impression", 1, 0)}


def test_late_impression_takes_over_an_organic_interaction(empty_lake: SparkSession) -> None:
    add(empty_lake, [event("done", "like", at=DAY_0 + 25 * HOUR)])
    label(empty_lake, start=DAY_0, end=DAY_0 + 2 * DAY, window=WINDOW)
    assert labels(empty_lake) == {"done": ("organic", 1, 1)}
    # It was shown the evening before, and that arrives two days late: the organic row's own day must lose it.
    add(empty_lake, [event("shown", "impression", at=DAY_0 + 23 * HOUR)], lag=2 * DAY)
    label(empty_lake, start=DAY_0 + 2 * DAY, end=DAY_0 + 3 * DAY, window=WINDOW)
    assert labels(empty_lake) == {"shown": ("impression", 1, 1)}


def test_rerun_gives_the_same_rows_and_other_days_stay(empty_lake: SparkSession) -> None:
    add(empty_lake, [event("a", "click"), event("b", "hide", at=DAY_0 + 9 * DAY)])
    label(empty_lake, start=DAY_0, end=DAY_0 + 10 * DAY, window=WINDOW)
    before = labels(empty_lake)
    outcome = label(empty_lake, start=DAY_0, end=DAY_0 + DAY, window=WINDOW)
    assert outcome.rows_out == 1
    assert labels(empty_lake) == before == {"a": ("organic", 1, 0), "b": ("organic", 0, 0)}


def test_interval_without_events_writes_nothing(empty_lake: SparkSession) -> None:
    assert label(empty_lake, start=DAY_0, end=DAY_0 + DAY, window=WINDOW).rows_out == 0
