"""`user_daily` from touches: the change log of every user's days in a span, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.etl.touches import (
    DAY,
    INTERACTED_MS,
    LAST_MS,
    PREFERS,
    decayed_sums,
    faded,
    feature_ms,
    feature_time,
    rates,
)
from recloop.aggregates import DECIMALS
from recloop.features import HALF_LIFE_DAYS, MAX_CATEGORIES, MAX_SEEN_ITEMS, PRIOR_RATES
from recloop.tables import Column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_KEY = [Column.USER_ID, DAY]


def user_daily(touches: DataFrame, categories: DataFrame, *, first: int, last: int) -> DataFrame:
    """Return the rows of days `first` to `last`, both included, but for created_at.

    Args:
        touches: all touches up to `last`.
        categories: (item_id, category), one row per pair.
        first: day number.
        last: day number.
    """
    numbers = user_numbers(touches).where(f"{DAY} BETWEEN {first} AND {last}").cache()
    days = numbers.select(*_KEY)
    return (
        numbers.join(user_categories(touches, categories, days), _KEY, "left")
        .join(user_seen_items(touches, days), _KEY, "left")
        .transform(_with_empty_lists)
    )


def user_numbers(touches: DataFrame) -> DataFrame:
    """Return the numeric features of each user and day with a touch."""
    from pyspark.sql import functions as F

    daily = touches.groupBy(*_KEY).agg(
        F.count("*").alias("n"),
        *(F.sum(head).alias(head) for head in PRIOR_RATES),
        F.max(LAST_MS).alias(LAST_MS),
        F.lit(1).alias("active"),
    )
    sums = decayed_sums(
        daily, [Column.USER_ID], ["n", *PRIOR_RATES, "active"], half_life=HALF_LIFE_DAYS, newest=[LAST_MS]
    )
    return sums.select(
        Column.USER_ID,
        DAY,
        feature_time(),
        F.col("n").alias("user_touches"),
        *rates("user", "n"),
        F.col("active").alias("user_active_days"),
        F.col(LAST_MS).alias("user_last_ms"),
        feature_ms().alias("user_feature_ms"),
    )


def user_categories(touches: DataFrame, categories: DataFrame, days: DataFrame) -> DataFrame:
    """Return categories and weights of each user and day of `days`."""
    from pyspark.sql import functions as F

    daily = (
        touches.join(F.broadcast(categories), Column.ITEM_ID)
        .groupBy(Column.USER_ID, "category", DAY)
        .agg(F.sum(PREFERS).alias("total"))
    )
    standing = decayed_sums(daily, [Column.USER_ID, "category"], ["total"], half_life=HALF_LIFE_DAYS)
    weight = F.round(faded("total"), DECIMALS)
    per_day = as_of_days(standing, days).withColumn("weight", weight).where("weight <> 0")
    strongest = F.slice(
        F.sort_array(F.collect_list(F.struct((-F.abs("weight")).alias("order"), "category", "weight"))),
        1,
        MAX_CATEGORIES,
    )
    ranked = per_day.groupBy(*_KEY).agg(strongest.alias("ranked"))
    return ranked.select(
        *_KEY,
        F.col("ranked.category").alias("user_categories"),
        F.transform("ranked.weight", lambda each: each / F.abs(F.col("ranked")[0]["weight"])).alias(
            "user_category_weights"
        ),
    )


def user_seen_items(touches: DataFrame, days: DataFrame) -> DataFrame:
    """Return the items each user had interacted with by the end of each day of `days`, newest first."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    pair = Window.partitionBy(Column.USER_ID, Column.ITEM_ID).orderBy(DAY)
    standing = touches.where(F.col(INTERACTED_MS).isNotNull()).select(
        Column.USER_ID, Column.ITEM_ID, DAY, INTERACTED_MS, F.lead(DAY).over(pair).alias("next_day")
    )
    newest = F.sort_array(F.collect_list(F.struct((-F.col(INTERACTED_MS)).alias("order"), Column.ITEM_ID)))
    ranked = as_of_days(standing, days).groupBy(*_KEY).agg(F.slice(newest, 1, MAX_SEEN_ITEMS).alias("ranked"))
    return ranked.select(*_KEY, F.col(f"ranked.{Column.ITEM_ID}").alias("user_seen_items"))


def as_of_days(standing: DataFrame, days: DataFrame) -> DataFrame:
    """Return for each user and day of `days` the rows of `standing` that held at its end.

    `standing` is a change log with `next_day`, the day of a series' next change; its day comes out as `since`.
    """
    from pyspark.sql import functions as F

    standing = standing.withColumnRenamed(DAY, "since")
    holds = (F.col("since") <= F.col(DAY)) & (F.col("next_day").isNull() | (F.col("next_day") > F.col(DAY)))
    return days.join(standing, Column.USER_ID).where(holds)


def _with_empty_lists(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    names = {
        "user_categories": "array<string>",
        "user_category_weights": "array<double>",
        "user_seen_items": "array<string>",
    }
    return rows.withColumns({name: F.coalesce(name, F.array().cast(kind)) for name, kind in names.items()})
