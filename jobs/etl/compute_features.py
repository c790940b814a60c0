"""Compute the batch features of each complete day in [start, end) into the offline store.

Reads clean events up to the end of the last day, and the catalogue; writes the change logs `features.user_daily`,
`item_daily` and `segment_daily` at feature_time = the end of the day. A day that ends after --end is left for the next
run. All days are computed in one pass; of segments only the newest SEGMENT_DAYS are kept of a long backfill.
--as-scheduled dates the rows as the daily run would have: created two hours after the day ended.
Run: python -m jobs.etl.compute_features --date 2022-05-01, or --start TIME --end TIME [--as-scheduled]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from expectations import features as suites
from expectations.run import check
from jobs.etl.item_features import item_daily, segment_daily
from jobs.etl.job import Outcome, run_job
from jobs.etl.lake import conform, read, replace_feature_rows
from jobs.etl.stale import mark_stale
from jobs.etl.touches import daily_touches, day_number
from jobs.etl.user_features import user_daily
from recloop import cli
from recloop.clock import SystemClock, day_start
from recloop.features import ITEM_DAILY, SEGMENT_DAILY, USER_DAILY, FeatureView
from recloop.tables import CLEAN_EVENTS, ITEMS, USERS, Column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SEGMENT_DAYS = 120
RUN_DELAY = timedelta(hours=2)
"""How long after a day's end the daily run has written its features."""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m jobs.etl.compute_features", description=__doc__)
    cli.add_interval(parser)
    parser.add_argument("--as-scheduled", action="store_true", help="date the rows as daily runs would have")
    return parser


def complete_days(start: datetime, end: datetime) -> tuple[date, date] | None:
    """Return the first and last day that begin at or after `start`'s day and end by `end`; None when there is none.

    >>> from recloop.clock import parse_time
    >>> complete_days(parse_time("2022-05-01T06:00:00Z"), parse_time("2022-05-03T06:00:00Z"))
    (datetime.date(2022, 5, 1), datetime.date(2022, 5, 2))
    """
    first, last = start.date(), end.date() - timedelta(days=1)
    return (first, last) if first <= last else None


def compute(spark: SparkSession, *, first: date, last: date) -> dict[FeatureView, DataFrame]:
    """Return the rows of each view for the days `first` to `last`, but for created_at."""
    from pyspark.sql import functions as F

    events = read(spark, CLEAN_EVENTS).where(F.col(Column.EVENT_DATE) <= F.lit(last))
    touches = daily_touches(events).cache()
    items = read(spark, ITEMS)
    categories = items.select(Column.ITEM_ID, F.explode(F.array_distinct(Column.CATEGORIES)).alias("category"))
    segments = read(spark, USERS).where(F.col(Column.SEGMENT).isNotNull()).select(Column.USER_ID, Column.SEGMENT)
    begin, end = day_number(first), day_number(last)
    return {
        USER_DAILY: user_daily(touches, categories, first=begin, last=end),
        ITEM_DAILY: item_daily(touches, first=begin, last=end),
        SEGMENT_DAILY: segment_daily(touches, segments, first=max(begin, end - SEGMENT_DAYS + 1), last=end),
    }


def stamp(rows: DataFrame, *, now: datetime, as_scheduled: bool) -> DataFrame:
    """Add created_at: now, or the moment at which the daily run would have written the row."""
    from pyspark.sql import functions as F

    scheduled = F.col(Column.FEATURE_TIME) + F.make_dt_interval(secs=F.lit(RUN_DELAY.total_seconds()))
    return rows.withColumn(Column.CREATED_AT, scheduled if as_scheduled else F.lit(now))


def publish(view: FeatureView, rows: DataFrame, *, first: date, last: date) -> tuple[int, list[str]]:
    """Validate one view's rows, replace the span's rows in its table; return their number and the warnings."""
    rows = conform(rows, view.table).cache()
    n_rows = rows.count()
    warnings = check(rows, suites.suite(view)) if n_rows else []
    start, end = day_start(first), day_start(last + timedelta(days=1))
    replace_feature_rows(rows, view.table, after=start, until=end)
    mark_stale(rows.sparkSession, view.table, since=start)
    return n_rows, warnings


def compute_features(
    spark: SparkSession, *, start: datetime, end: datetime, now: datetime, as_scheduled: bool
) -> Outcome:
    """Compute, validate and publish every view for the complete days of `[start, end)`."""
    days = complete_days(start, end)
    if days is None:
        print(f"No day is complete between {start.isoformat()} and {end.isoformat()}; nothing to compute.")
        return Outcome(0, 0)
    first, last = days
    counts: dict[str, int] = {}
    warnings: list[str] = []
    for view, rows in compute(spark, first=first, last=last).items():
        stamped = stamp(rows, now=now, as_scheduled=as_scheduled)
        counts[view.name], found = publish(view, stamped, first=first, last=last)
        warnings += found
    span = {"first_day": first.isoformat(), "last_day": last.isoformat()}
    read_rows = spark.table(CLEAN_EVENTS.full_name).where(f"{Column.EVENT_DATE} <= '{last}'").count()
    return Outcome(read_rows, sum(counts.values()), counts | span | {"warnings": warnings})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job."""
    args = build_parser().parse_args(argv)

    def body(spark: SparkSession, _: object) -> Outcome:
        now = SystemClock().now()
        return compute_features(spark, start=args.start, end=args.end, now=now, as_scheduled=args.as_scheduled)

    return run_job("compute-features", body, imports=["great_expectations"])


if __name__ == "__main__":
    sys.exit(main())
