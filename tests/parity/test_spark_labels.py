"""The label job computes what the kernel's rule says, ties, slates and windows included."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from recloop.events import Event
from recloop.labels import Head, attribute
from recloop.tables import Column, Origin
from tests.lake import DAY_0, clean_frame, event, random_log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
Rows = dict[str, tuple[Any, ...]]


def by_kernel(log: list[Event], window: timedelta) -> Rows:
    return {
        row.cause.event_id: (
            str(row.origin),
            row.cause.user_id,
            row.cause.item_id,
            row.cause.slate_id,
            row.cause.event_time,
            *(int(head in row.outcomes) for head in Head),
        )
        for row in attribute(log, window=window)
    }


def by_spark(spark: SparkSession, log: list[Event], window: timedelta) -> Rows:
    from jobs.etl.attribute_labels import attribute as attribute_in_spark

    rows = attribute_in_spark(clean_frame(spark, log), window=window).collect()
    names = (Column.ORIGIN, Column.USER_ID, Column.ITEM_ID, Column.SLATE_ID)
    heads = [str(head) for head in Head]
    found = {
        row["label_id"]: (
            *(row[name] for name in names),
            row["event_time"].replace(tzinfo=DAY_0.tzinfo),
            *(row[head] for head in heads),
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("hours", [1, 24])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_log_with_ties(spark: SparkSession, seed: int, hours: int) -> None:
    # 500 events on 5 x 6 pairs in 864 ten-minute slots: pairs meet themselves at the same moment many times.
    log, window = random_log(seed, n_events=500), timedelta(hours=hours)
    expected = by_kernel(log, window)
    origins = {row[0] for row in expected.values()}
    assert origins == set(Origin)
    assert by_spark(spark, log, window) == expected


def test_edges_of_the_window_and_ties(spark: SparkSession) -> None:
    window = timedelta(hours=1)
    log = [
        event("shown-b", "impression"),
        event("shown-a", "impression"),
        event("same-moment", "click"),
        event("last-moment", "save", at=DAY_0 + window - timedelta(milliseconds=1)),
        event("too-late", "hide", at=DAY_0 + window),
        event("too-late-too", "click", at=DAY_0 + window),
    ]
    found = by_spark(spark, log, window)
    assert found == by_kernel(log, window)
    # Both interactions belong to the impression with the larger id; the two late ones are one organic row.
    assert found["shown-b"][-4:] == (1, 0, 1, 0)
    assert found["shown-a"][-4:] == (0, 0, 0, 0)
    assert found["too-late"][-4:] == (1, 0, 0, 1)
    assert len(found) == 3
