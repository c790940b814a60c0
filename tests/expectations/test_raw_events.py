"""How many raw events may be malformed before a batch is held back, counted on rows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from expectations.raw_events import MIN_ROWS, suite
from expectations.run import Report, validate
from tests.lake import DAY_0, frame_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]


def judged(spark: SparkSession, *, good: int, bad: int, ingested: datetime | None = DAY_0) -> Report:
    rows = [(ingested, field) for field in [None] * good + ["action"] * bad]
    frame = frame_of(spark, rows, "ingest_time timestamp, field string").cache()
    return validate(frame, suite(len(rows)))


@pytest.mark.parametrize(
    ("bad", "critical", "warnings"),
    [
        pytest.param(1, 0, 0, id="one_in_a_hundred_is_nothing"),
        pytest.param(2, 0, 1, id="two_are_told"),
        pytest.param(50, 0, 1, id="half_still_go_through"),
        pytest.param(51, 1, 1, id="most_stop_the_batch"),
    ],
)
def test_share_of_malformed_rows_decides(spark: SparkSession, bad: int, critical: int, warnings: int) -> None:
    report = judged(spark, good=100 - bad, bad=bad)
    assert (len(report.critical), len(report.warnings)) == (critical, warnings)
    assert all(f"{bad} of 100 rows differ" in sentence for sentence in report.critical + report.warnings)


def test_small_batch_may_be_all_malformed(spark: SparkSession) -> None:
    report = judged(spark, good=0, bad=MIN_ROWS - 1)
    assert (report.critical, report.warnings) == ((), ())


def test_empty_batch_passes(spark: SparkSession) -> None:
    assert judged(spark, good=0, bad=0).critical == ()


def test_row_without_its_ingest_time_stops_even_a_small_batch(spark: SparkSession) -> None:
    (sentence,) = judged(spark, good=1, bad=0, ingested=None).critical
    assert "ingest_time" in sentence
