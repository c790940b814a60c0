"""Copy feature rows that the online store lacks into it, through Feast.

Reads the offline rows of `user_daily`, `user_profile` and `segment_daily` that were written since the last copy, up to
--end, and recomputes `user_recent` of the users that clean_events touched since, by the stream's own rule. So a history
that was backfilled from files, which no stream ever saw, is online too; the stream starts a user's state from there.
A `user_recent` row goes forward only: one that the stream made newer stays. Copying twice changes nothing.
Run: python -m jobs.etl.materialize_features --date 2022-05-01, or --end TIME [--full]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.etl.feature_store import open_feature_store
from jobs.etl.job import Outcome, run_job
from jobs.etl.lake import create_tables, overwrite_all
from jobs.etl.stale import set_mark, stale_since
from jobs.etl.user_sequences import of_active_users, user_recent
from recloop import cli
from recloop.clock import EPOCH, SystemClock
from recloop.features import SEGMENT_DAILY, USER_DAILY, USER_PROFILE, USER_RECENT, FeatureView
from recloop.settings import Settings
from recloop.tables import CLEAN_EVENTS, Column

if TYPE_CHECKING:
    from feast import FeatureStore
    from pyspark.sql import SparkSession

VIEWS = (USER_PROFILE, USER_DAILY, SEGMENT_DAILY, USER_RECENT)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m jobs.etl.materialize_features", description=__doc__)
    cli.add_end(parser, "--end", help="copy rows up to this moment")
    parser.add_argument("--full", action="store_true", help="copy all rows, e.g. into an online store that was lost")
    return parser


def refresh_sequences(spark: SparkSession, *, since: datetime, end: datetime, now: datetime) -> None:
    """Recompute `features.user_recent` for the users with events since `since`."""
    events = of_active_users(spark.table(CLEAN_EVENTS.full_name), since=since, end=end)
    overwrite_all(user_recent(events, now=now), USER_RECENT.table)


def materialize(store: FeatureStore, spark: SparkSession, view: FeatureView, *, since: datetime, end: datetime) -> int:
    """Copy the newest row per entity with `since <= feature_time <= end`; return their number."""
    from pyspark.sql import functions as F

    inside = F.col(Column.FEATURE_TIME).between(F.lit(since), F.lit(end))
    n_rows = spark.table(view.table.full_name).where(inside).select(view.entity.value).distinct().count()
    if n_rows:
        # The stream may be ahead of the lake; Feast then compares the rows' times and keeps the newer.
        store.config.online_store.skip_dedup = not view.streamed
        store.materialize(since, end, feature_views=[view.name], disable_event_timestamp=False)
    return n_rows


def materialize_features(
    spark: SparkSession, settings: Settings, *, end: datetime, now: datetime, full: bool = False
) -> Outcome:
    """Copy what the online store lacks of every view, up to `end`."""
    create_tables(spark, CLEAN_EVENTS, *(view.table for view in VIEWS))
    store = open_feature_store(settings)
    counts: dict[str, int] = {}
    for view in VIEWS:
        since = EPOCH if full else stale_since(spark, view.table)
        if since is None or since >= end:
            counts[view.name] = 0
            continue
        if view is USER_RECENT:
            refresh_sequences(spark, since=since, end=end, now=now)
            since = EPOCH
        counts[view.name] = materialize(store, spark, view, since=since, end=end)
        set_mark(spark, view.table, end)
    return Outcome(sum(counts.values()), sum(counts.values()), counts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job."""
    args = build_parser().parse_args(argv)

    def body(spark: SparkSession, settings: Settings) -> Outcome:
        return materialize_features(spark, settings, end=args.end, now=SystemClock().now(), full=args.full)

    return run_job("materialize-features", body, imports=["feast"])


if __name__ == "__main__":
    sys.exit(main())
