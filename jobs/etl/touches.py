"""Touches and their decayed sums: what the batch features of users, items and segments are made of.

A touch is one (user, item, event_date) with any event. Days are numbers since 1970; DAY is that column's name.
The plain-Python reference is recloop.aggregates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from recloop.aggregates import PREFERENCE
from recloop.clock import MS_PER_DAY
from recloop.events import Action
from recloop.features import HALF_LIFE_DAYS, PRIOR_RATES, PRIOR_TOUCHES
from recloop.labels import CLICK_ACTIONS, HIDE_ACTIONS, LIKE_ACTIONS, LONG_VIEW_MS, Head
from recloop.tables import Column

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

DAY, FIRST_MS, LAST_MS, INTERACTED_MS, PREFERS = "day", "first_ms", "last_ms", "interacted_ms", "prefers"


def day_number(day: date) -> int:
    """Return days since 1970.

    >>> day_number(date(1970, 1, 3))
    2
    """
    return (day - date(1970, 1, 1)).days


def head_conditions() -> dict[Head, SparkColumn]:
    """Return for each head the condition that one event makes it positive; `recloop.labels.outcome` in Spark."""
    from pyspark.sql import functions as F

    action, dwell, duration = F.col(Column.ACTION), F.col(Column.DWELL_MS), F.col(Column.DURATION_MS)
    enough = F.least(F.lit(LONG_VIEW_MS), F.when(duration > 0, duration).otherwise(F.lit(LONG_VIEW_MS)))
    long_view = (action == Action.LONG_VIEW) | ((action == Action.VIEW) & dwell.isNotNull() & (dwell >= enough))
    return {
        Head.CLICK: action.isin([str(each) for each in CLICK_ACTIONS]),
        Head.LONG_VIEW: F.coalesce(long_view, F.lit(False)),
        Head.LIKE: action.isin([str(each) for each in LIKE_ACTIONS]),
        Head.HIDE: action.isin([str(each) for each in HIDE_ACTIONS]),
    }


def daily_touches(events: DataFrame) -> DataFrame:
    """Return one row per touch: user, item, day, a 0/1 column per head, first, last and last interaction in ms."""
    from pyspark.sql import functions as F

    at = F.unix_millis(Column.EVENT_TIME)
    interacted = F.when(F.col(Column.ACTION) != Action.IMPRESSION, at)
    grouped = events.groupBy(Column.USER_ID, Column.ITEM_ID, F.unix_date(Column.EVENT_DATE).alias(DAY)).agg(
        *(F.max(condition.cast("int")).alias(head) for head, condition in head_conditions().items()),
        F.min(at).alias(FIRST_MS),
        F.max(at).alias(LAST_MS),
        F.max(interacted).alias(INTERACTED_MS),
    )
    good = F.when(F.col(Head.LIKE) == 1, PREFERENCE[Head.LIKE]).otherwise(F.col(Head.CLICK) * PREFERENCE[Head.CLICK])
    return grouped.withColumn(PREFERS, good + F.col(Head.HIDE) * PREFERENCE[Head.HIDE])


def decayed_sums(
    daily: DataFrame, keys: Sequence[str], sums: Sequence[str], *, half_life: float, newest: Sequence[str] = ()
) -> DataFrame:
    """Turn one row per key and day into the change log of decayed sums as of the end of that day.

    Sum of x(d) 2^((d - D) / h) over d <= D equals 2^(-(D - b) / h) times the running sum of x(d) 2^((d - b) / h), so
    one pass gives every day. `b` is the key's first day: 2^1023 is the largest double, which at a half-life of 7 days
    leaves room for 19 years of one key.

    Args:
        daily: one row per key and DAY.
        keys: what identifies a series.
        sums: columns to decay and sum.
        half_life: in days.
        newest: columns of which the running maximum is kept.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    whole = Window.partitionBy(*keys)
    so_far = whole.orderBy(DAY).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    age = (F.col(DAY) - F.min(DAY).over(whole)) / F.lit(half_life)
    based = daily.withColumn("_grow", F.pow(F.lit(2.0), age))
    return based.select(
        *keys,
        DAY,
        *((F.sum(F.col(name) * F.col("_grow")).over(so_far) / F.col("_grow")).alias(name) for name in sums),
        *(F.max(name).over(so_far).alias(name) for name in newest),
        F.lead(DAY).over(whole.orderBy(DAY)).alias("next_day"),
    )


def rates(prefix: str, touches: str) -> list[SparkColumn]:
    """Return the smoothed rate of each head from decayed sums."""
    from pyspark.sql import functions as F

    return [
        ((F.col(head) + PRIOR_TOUCHES * prior) / (F.col(touches) + PRIOR_TOUCHES)).alias(f"{prefix}_{head}_rate")
        for head, prior in PRIOR_RATES.items()
    ]


def feature_time() -> SparkColumn:
    """Return the end of DAY as a timestamp."""
    from pyspark.sql import functions as F

    return F.timestamp_millis(feature_ms()).alias(Column.FEATURE_TIME)


def feature_ms() -> SparkColumn:
    """Return the end of DAY in ms."""
    from pyspark.sql import functions as F

    return (F.col(DAY).cast("bigint") + 1) * F.lit(MS_PER_DAY)


def faded(value: str) -> SparkColumn:
    """Return a decayed sum of day `since` as it stands on DAY."""
    from pyspark.sql import functions as F

    return F.col(value) * F.pow(F.lit(2.0), (F.col("since") - F.col(DAY)) / F.lit(float(HALF_LIFE_DAYS)))
