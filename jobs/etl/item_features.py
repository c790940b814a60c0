"""`item_daily` and `segment_daily` from touches: change logs of a span of days, in one pass each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.etl.touches import DAY, FIRST_MS, decayed_sums, feature_ms, feature_time, rates
from recloop.aggregates import DECIMALS
from recloop.features import EVERYONE, HALF_LIFE_DAYS, MAX_POPULAR_ITEMS, POPULARITY_HALF_LIFE_DAYS, PRIOR_RATES
from recloop.labels import Head
from recloop.tables import Column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SEGMENT_KEY = [Column.SEGMENT, DAY]


def item_daily(touches: DataFrame, *, first: int, last: int) -> DataFrame:
    """Return the rows of days `first` to `last`, both included, but for created_at."""
    from pyspark.sql import functions as F

    daily = touches.groupBy(Column.ITEM_ID, DAY).agg(
        F.count("*").alias("n"),
        *(F.sum(head).alias(head) for head in PRIOR_RATES),
        F.max(-F.col(FIRST_MS)).alias(FIRST_MS),
    )
    key = [Column.ITEM_ID]
    # The running maximum of the negated time is the oldest time.
    slow = decayed_sums(daily, key, ["n", *PRIOR_RATES], half_life=HALF_LIFE_DAYS, newest=[FIRST_MS])
    clicks = daily.select(*key, DAY, F.col(Head.CLICK).alias("clicks"))
    fast = decayed_sums(clicks, key, ["clicks"], half_life=POPULARITY_HALF_LIFE_DAYS).drop("next_day")
    rows = slow.join(fast, [*key, DAY]).where(f"{DAY} BETWEEN {first} AND {last}")
    return rows.select(
        Column.ITEM_ID,
        feature_time(),
        F.col("n").alias("item_touches"),
        *rates("item", "n"),
        F.col("clicks").alias("item_popularity"),
        (-F.col(FIRST_MS)).alias("item_first_ms"),
        feature_ms().alias("item_feature_ms"),
    )


def segment_daily(touches: DataFrame, segments: DataFrame, *, first: int, last: int) -> DataFrame:
    """Return the rows of days `first` to `last`, both included, but for created_at.

    Args:
        touches: all touches up to `last`.
        segments: (user_id, segment), one row per user; users without a row are in EVERYONE only.
        first: day number.
        last: day number.
    """
    from pyspark.sql import functions as F

    everyone = touches.withColumn(Column.SEGMENT, F.lit(EVERYONE))
    own = touches.join(F.broadcast(segments), Column.USER_ID).where(F.col(Column.SEGMENT) != EVERYONE)
    members = everyone.unionByName(own.select(everyone.columns))
    daily = members.groupBy(Column.SEGMENT, Column.ITEM_ID, DAY).agg(F.sum(Head.CLICK).alias("clicks")).cache()
    days = daily.select(*_SEGMENT_KEY).distinct().where(f"{DAY} BETWEEN {first} AND {last}")
    key = [Column.SEGMENT, Column.ITEM_ID]
    standing = decayed_sums(daily.where("clicks > 0"), key, ["clicks"], half_life=POPULARITY_HALF_LIFE_DAYS)
    return _rank(_on_days(standing, days, first, last))


def _on_days(standing: DataFrame, days: DataFrame, first: int, last: int) -> DataFrame:
    """Return each item's weight on every day of its segment, aged from the day of its last click."""
    from pyspark.sql import functions as F

    standing = standing.withColumnRenamed(DAY, "since")
    begin = F.greatest("since", F.lit(first))
    end = F.least(F.coalesce(F.col("next_day") - 1, F.lit(last)), F.lit(last))
    held = standing.where(begin <= end).withColumn(DAY, F.explode(F.sequence(begin, end)))
    weight = F.col("clicks") * F.pow(
        F.lit(2.0), (F.col("since") - F.col(DAY)) / F.lit(float(POPULARITY_HALF_LIFE_DAYS))
    )
    return days.join(held.withColumn("weight", F.round(weight, DECIMALS)), _SEGMENT_KEY, "left")


def _rank(weighted: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    pair = F.when(F.col("weight") > 0, F.struct((-F.col("weight")).alias("order"), Column.ITEM_ID, "weight"))
    ranked = weighted.groupBy(*_SEGMENT_KEY).agg(
        F.slice(F.sort_array(F.collect_list(pair)), 1, MAX_POPULAR_ITEMS).alias("ranked")
    )
    return ranked.select(
        Column.SEGMENT,
        feature_time(),
        F.col(f"ranked.{Column.ITEM_ID}").alias("popular_items"),
        F.col("ranked.weight").alias("popular_weights"),
    )
