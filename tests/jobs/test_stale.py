"""The mark of a feature table: from when on rows are to be copied."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from jobs.etl.lake import create_tables, overwrite_all
from jobs.etl.stale import mark_stale, set_mark, stale_since
from recloop.features import SEGMENT_DAILY, USER_DAILY
from tests.lake import DAY_0, frame_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
DAY, TABLE = timedelta(days=1), SEGMENT_DAILY.table


@pytest.fixture
def lake(empty_lake: SparkSession) -> SparkSession:
    """The session on a lake with two feature tables, neither with a mark."""
    create_tables(empty_lake, TABLE, USER_DAILY.table)
    return empty_lake


def test_table_that_was_never_marked_has_nothing_to_copy(lake: SparkSession) -> None:
    assert stale_since(lake, TABLE) is None


def test_oldest_moment_stays_until_the_mark_is_raised(lake: SparkSession) -> None:
    for day in (2, 1, 3):
        mark_stale(lake, TABLE, since=DAY_0 + day * DAY)
    assert stale_since(lake, TABLE) == DAY_0 + DAY
    set_mark(lake, TABLE, DAY_0 + 9 * DAY)
    assert stale_since(lake, TABLE) == DAY_0 + 9 * DAY


def test_rerun_of_an_old_day_lowers_a_raised_mark(lake: SparkSession) -> None:
    set_mark(lake, TABLE, DAY_0 + 9 * DAY)
    mark_stale(lake, TABLE, since=DAY_0)
    assert stale_since(lake, TABLE) == DAY_0


def test_every_table_has_a_mark_of_its_own(lake: SparkSession) -> None:
    mark_stale(lake, TABLE, since=DAY_0)
    assert stale_since(lake, USER_DAILY.table) is None


def test_mark_outlives_the_rows(lake: SparkSession) -> None:
    mark_stale(lake, TABLE, since=DAY_0)
    row = ("x", DAY_0, DAY_0, ["i"], [1.0])
    overwrite_all(frame_of(lake, [row], TABLE.ddl), TABLE)
    overwrite_all(frame_of(lake, [], TABLE.ddl), TABLE)
    assert stale_since(lake, TABLE) == DAY_0


@pytest.mark.parametrize(
    "since",
    [
        pytest.param(DAY_0 + timedelta(milliseconds=7), id="millisecond"),
        pytest.param(datetime(2022, 5, 1, 2, tzinfo=timezone(timedelta(hours=2))), id="other_zone"),
        pytest.param(datetime(1970, 1, 1, tzinfo=DAY_0.tzinfo), id="beginning"),
    ],
)
def test_mark_is_read_as_the_moment_it_was_set_to(lake: SparkSession, since: datetime) -> None:
    set_mark(lake, TABLE, since)
    assert stale_since(lake, TABLE) == since
