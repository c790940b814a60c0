"""Rows of a training set out of the lake: labels as of a moment, the newest of them, and what was readable when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.etl.attribute_labels import label
from jobs.etl.lake import append, create_tables
from jobs.etl.training_examples import labels_before, newest_labels, visible_from, with_features
from recloop.clock import to_ms
from recloop.events import Event
from recloop.features import ITEM_DAILY, RANKING_V1, USER_DAILY, FeatureView
from recloop.labels import Head, attribute
from recloop.settings import Settings
from recloop.splits import TimeSplit
from recloop.tables import CLEAN_EVENTS, LABELS, Column
from tests.lake import DAY_0, clean_frame, frame_of, random_log

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
HOUR, MS, US = timedelta(hours=1), timedelta(milliseconds=1), timedelta(microseconds=1)
Rows = dict[str, tuple[Any, ...]]


def by_kernel(log: list[Event], window: timedelta) -> Rows:
    return {
        row.cause.event_id: (str(row.origin), to_ms(row.known_at), *(int(head in row.outcomes) for head in Head))
        for row in attribute(log, window=window)
    }


def by_spark(labels: DataFrame) -> Rows:
    rows = labels.toArrow().to_pylist()
    found = {row["label_id"]: (row["origin"], to_ms(row["known_at"]), *(row[head] for head in Head)) for row in rows}
    assert len(found) == len(rows)
    return found


def test_labels_before_a_moment_are_those_of_a_log_that_ends_there(empty_lake: SparkSession) -> None:
    log, window = random_log(4, n_events=400), timedelta(hours=24)
    append(clean_frame(empty_lake, log), CLEAN_EVENTS)
    label(empty_lake, start=DAY_0, end=DAY_0 + timedelta(days=6), window=window)
    later = by_kernel(log, window)
    for until in (DAY_0 + 20 * HOUR, DAY_0 + 100 * HOUR + MS):
        known = by_kernel([each for each in log if each.event_time < until], window)
        assert any(later[name] != row for name, row in known.items())
        assert by_spark(labels_before(empty_lake, until, window=window)) == known
    assert by_spark(labels_before(empty_lake, DAY_0 + timedelta(days=9), window=window)) == later


def label_rows(spark: SparkSession, *rows: tuple[str, datetime]) -> DataFrame:
    """Return clicked label rows of these ids and moments."""
    known = {Column.ORIGIN: "organic", Column.USER_ID: "u", Column.ITEM_ID: "i", Column.CLICK: 1}
    full = [
        known | {Column.LABEL_ID: name, Column.EVENT_TIME: at, Column.EVENT_DATE: at.date(), Column.KNOWN_AT: at}
        for name, at in rows
    ]
    return frame_of(spark, [[row.get(Column(name)) for name in LABELS.columns] for row in full], LABELS.ddl)


class TestNewestLabels:
    SPLIT = TimeSplit(*(to_ms(DAY_0 + hours * HOUR) for hours in (0, 10, 15, 20)))

    def names(self, labels: DataFrame, *, most: int = 10) -> list[str]:
        return newest_labels(labels, self.SPLIT, most=most)["label_id"].to_pylist()  # type: ignore[no-any-return]

    def test_stack_and_holdout_are_half_open_and_in_order_of_time(self, spark: SparkSession) -> None:
        times = {"end": 20 * HOUR, "last": 20 * HOUR - MS, "first": 10 * HOUR, "base": 10 * HOUR - MS}
        labels = label_rows(spark, *((name, DAY_0 + at) for name, at in times.items()))
        assert self.names(labels) == ["first", "last"]

    def test_newest_are_kept_and_at_one_moment_the_smaller_ids(self, spark: SparkSession) -> None:
        times = {"b": 12, "old": 11, "c": 12, "a": 12, "new": 13}
        labels = label_rows(spark, *((name, DAY_0 + at * HOUR) for name, at in times.items()))
        assert self.names(labels, most=3) == ["a", "b", "new"]

    def test_no_labels_are_no_rows(self, spark: SparkSession) -> None:
        assert self.names(label_rows(spark)) == []


def add(spark: SparkSession, view: FeatureView, *rows: dict[str, Any]) -> None:
    """Append feature rows; what one does not name is NULL."""
    append(
        frame_of(spark, [[row.get(name) for name in view.table.columns] for row in rows], view.table.ddl), view.table
    )


def item_row(touches: float, *, of: datetime, created: datetime) -> dict[str, Any]:
    return {"item_id": "i", "feature_time": of, "created_at": created, "item_touches": touches}


@pytest.fixture
def lake(empty_lake: SparkSession) -> SparkSession:
    create_tables(empty_lake, *(view.table for view in RANKING_V1.views))
    return empty_lake


class TestVisibleFrom:
    def test_row_is_visible_once_it_is_both_of_the_past_and_written(self, lake: SparkSession) -> None:
        written, dated = DAY_0 + 2 * HOUR, DAY_0 + 5 * HOUR
        add(
            lake,
            ITEM_DAILY,
            item_row(1, of=DAY_0, created=written),
            item_row(2, of=dated, created=written),
            item_row(3, of=DAY_0 - HOUR, created=written),
        )
        add(lake, USER_DAILY, {"user_id": "u", "feature_time": DAY_0, "created_at": dated + MS})
        expected = [0, to_ms(written), to_ms(dated), to_ms(dated) + 1]
        assert visible_from(lake, RANKING_V1).tolist() == expected

    def test_row_written_within_a_millisecond_is_visible_from_the_next(self, lake: SparkSession) -> None:
        add(lake, ITEM_DAILY, item_row(1, of=DAY_0, created=DAY_0 + US))
        assert visible_from(lake, RANKING_V1).tolist() == [0, to_ms(DAY_0) + 1]

    def test_without_features_there_is_the_time_before_all(self, lake: SparkSession) -> None:
        assert visible_from(lake, RANKING_V1).tolist() == [0]


def test_each_row_gets_what_was_readable_at_its_moment_in_the_order_given(
    empty_lake: SparkSession, base_stack: Settings
) -> None:
    import pyarrow as pa

    from jobs.etl.apply_features import apply
    from jobs.etl.feature_store import open_feature_store

    apply(empty_lake, base_stack)
    first, second, third = DAY_0 + HOUR, DAY_0 + 2 * HOUR, DAY_0 + 3 * HOUR
    add(
        empty_lake,
        ITEM_DAILY,
        item_row(1, of=DAY_0, created=first + US),
        item_row(2, of=second, created=second),
        # Of the past, and written when it was over: whoever reads before that has the row above.
        item_row(3, of=second + MS, created=third),
    )
    moments = {
        third: 3.0, third - MS: 2.0, second: 2.0, second - MS: 1.0, first + MS: 1.0, first: None, DAY_0: None,
        third + HOUR: 3.0,
    }  # fmt: skip
    examples = pa.table(
        {
            "item_id": pa.array(["i", "other"] * len(moments)),
            "user_id": pa.array(["u"] * 2 * len(moments)),
            "event_time_ms": pa.array([to_ms(at) for at in moments for _ in "ab"]),
        }
    )
    found = with_features(empty_lake, open_feature_store(base_stack), examples, RANKING_V1)
    assert found.select(examples.column_names).equals(examples)
    assert found.column_names[3:] == [name for view in RANKING_V1.views for name in RANKING_V1.names(view)]
    assert found["item_touches"].to_pylist() == [value for own in moments.values() for value in (own, None)]
