"""Join interactions to the impressions that caused them: `recloop.labels.attribute` over the lake, in Spark.

Reads the clean events of the dates that [start, end) of ingest time touched, and of the attribution window around them;
overwrites those dates of `clean.labels`. A late event changes labels up to one window before it (of its impression) and
after it (an interaction that its impression explains), so those dates are written too.
Run: python -m jobs.etl.attribute_labels --date 2022-05-01, or --start TIME --end TIME
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from expectations import labels as suites
from expectations.run import check
from jobs.etl.job import Outcome, run_job
from jobs.etl.lake import conform, create_tables, is_date_in, overwrite_dates
from jobs.etl.touches import head_conditions
from recloop import cli
from recloop.events import Action
from recloop.labels import Head
from recloop.settings import Settings
from recloop.tables import CLEAN_EVENTS, LABELS, Column, Origin

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_CAUSE, _HEADS = "cause", [str(head) for head in Head]
_PAIR = [Column.USER_ID, Column.ITEM_ID]
_ROW = [name for name in LABELS.columns if name not in {*_HEADS, Column.LABEL_ID, Column.ORIGIN, Column.KNOWN_AT}]
"""Columns that a label row takes over from its cause."""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m jobs.etl.attribute_labels", description=__doc__)
    cli.add_interval(parser)
    return parser


def around(dates: Iterable[date], window: timedelta) -> list[date]:
    """Return the dates and those within one window of them.

    >>> [day.day for day in around([date(2022, 5, 2)], timedelta(hours=24))]
    [1, 2, 3]
    """
    reach = -(-window // timedelta(days=1))
    return sorted({day + timedelta(days=step) for day in dates for step in range(-reach, reach + 1)})


def attribute(events: DataFrame, *, window: timedelta) -> DataFrame:
    """Return the label rows of all causes among the events; the events must be complete one window around them."""
    from pyspark.sql import functions as F

    heads = [condition.cast("int").alias(head) for head, condition in head_conditions().items()]
    shown = events.where(F.col(Column.ACTION) == Action.IMPRESSION)
    done = events.where(F.col(Column.ACTION) != Action.IMPRESSION).select(Column.EVENT_ID, *_ROW, *heads)
    caused = done.join(_causes(done, shown, window), Column.EVENT_ID, "left")
    explained = caused.where(F.col(_CAUSE).isNotNull()).groupBy(_CAUSE).agg(*_any_head(), _newest())
    impressions = (
        shown.select(Column.EVENT_ID, *_ROW)
        .join(explained.withColumnRenamed(_CAUSE, Column.EVENT_ID), Column.EVENT_ID, "left")
        .withColumn(Column.ORIGIN, F.lit(str(Origin.IMPRESSION)))
        .fillna(0, _HEADS)
        .withColumn(Column.KNOWN_AT, F.coalesce(Column.KNOWN_AT, Column.EVENT_TIME))
    )
    rows = impressions.unionByName(_organic(caused.where(F.col(_CAUSE).isNull()).drop(_CAUSE)))
    return conform(rows.withColumnRenamed(Column.EVENT_ID, Column.LABEL_ID), LABELS)


def _causes(done: DataFrame, shown: DataFrame, window: timedelta) -> DataFrame:
    """Return (event_id, cause) of each interaction that an impression explains: the newest, at a tie the larger id."""
    from pyspark.sql import functions as F

    past, slate = f"shown_{Column.EVENT_TIME}", f"shown_{Column.SLATE_ID}"
    impressions = shown.select(
        *_PAIR,
        F.col(Column.EVENT_ID).alias(_CAUSE),
        F.col(Column.EVENT_TIME).alias(past),
        F.col(Column.SLATE_ID).alias(slate),
    )
    length = F.make_dt_interval(secs=F.lit(window.total_seconds()))
    in_window = (F.col(past) <= F.col(Column.EVENT_TIME)) & (F.col(Column.EVENT_TIME) < F.col(past) + length)
    own = F.col(Column.SLATE_ID)
    same_slate = own.isNull() | F.col(slate).isNull() | (own == F.col(slate))
    candidates = done.select(Column.EVENT_ID, Column.EVENT_TIME, Column.SLATE_ID, *_PAIR).join(impressions, _PAIR)
    newest = F.max(F.struct(past, _CAUSE))
    return candidates.where(in_window & same_slate).groupBy(Column.EVENT_ID).agg(newest[_CAUSE].alias(_CAUSE))


def _organic(unexplained: DataFrame) -> DataFrame:
    """Return one row per user, item and millisecond; the smallest event id stands for it."""
    from pyspark.sql import functions as F

    first = F.min_by(F.struct(Column.EVENT_ID, *_ROW), F.col(Column.EVENT_ID))
    grouped = unexplained.groupBy(*_PAIR, Column.EVENT_TIME).agg(first.alias("row"), *_any_head(), _newest())
    return grouped.select("row.*", *_HEADS, Column.KNOWN_AT).withColumn(Column.ORIGIN, F.lit(str(Origin.ORGANIC)))


def _any_head() -> list[object]:
    from pyspark.sql import functions as F

    return [F.max(head).alias(head) for head in _HEADS]


def _newest() -> object:
    from pyspark.sql import functions as F

    return F.max(Column.EVENT_TIME).alias(Column.KNOWN_AT)


def touched_dates(spark: SparkSession, *, start: datetime, end: datetime) -> list[date]:
    """Return the event dates of what was ingested in `[start, end)`."""
    from pyspark.sql import functions as F

    ingested = (F.col(Column.INGEST_TIME) >= F.lit(start)) & (F.col(Column.INGEST_TIME) < F.lit(end))
    events = spark.table(CLEAN_EVENTS.full_name).where(ingested)
    return sorted(row[0] for row in events.select(Column.EVENT_DATE).distinct().collect())


def label(spark: SparkSession, *, start: datetime, end: datetime, window: timedelta) -> Outcome:
    """Attribute the labels that `[start, end)` may have changed."""
    create_tables(spark, CLEAN_EVENTS, LABELS)
    dates = around(touched_dates(spark, start=start, end=end), window)
    if not dates:
        return Outcome(0, 0)
    events = spark.table(CLEAN_EVENTS.full_name).where(is_date_in(CLEAN_EVENTS, around(dates, window))).cache()
    rows = attribute(events, window=window).where(is_date_in(LABELS, dates)).cache()
    counts = {row[0]: int(row[1]) for row in rows.groupBy(Column.ORIGIN).count().collect()}
    warnings = check(rows, suites.SUITE) if counts else []
    overwrite_dates(rows, LABELS, dates)
    return Outcome(events.count(), sum(counts.values()), counts | {"event_dates": len(dates), "warnings": warnings})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job."""
    args = build_parser().parse_args(argv)

    def body(spark: SparkSession, settings: Settings) -> Outcome:
        window = timedelta(hours=settings.attribution_window_hours)
        return label(spark, start=args.start, end=args.end, window=window)

    return run_job("attribute-labels", body, imports=["great_expectations"])


if __name__ == "__main__":
    sys.exit(main())
