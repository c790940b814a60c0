"""Write the training set of everything before --until: what each moment's reader would have known, and what came of it.

Reads the lake and, through Feast's point-in-time join, the offline store. Writes to the folder --out, complete or not
at all:
  examples.parquet      label rows of the stack and holdout spans (recloop.splits), sampled negatives, their features
  exposures.parquet     every label row that an impression began, with the moment its outcomes were known
  interactions.parquet  every interaction, by user and time
  items.parquet         the catalogue with its newest features known at the holdout's start
  users.parquet         profiles
  popularity.parquet    popular items per segment known at the holdout's start
  snapshot.json         Iceberg snapshot of each table read, the split, the feature contract, counts
Times are int64 columns `…_ms`.
Run: python -m jobs.etl.build_training_set --date 2022-04-30, or --until TIME, --out DIR [--max-examples 60000]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.etl.feature_store import open_feature_store
from jobs.etl.job import Outcome, run_job
from jobs.etl.lake import create_tables, snapshot_id
from jobs.etl.training_examples import labels_before, newest_labels, with_features
from jobs.etl.user_sequences import HASH, TIME_MS, interactions, with_hash
from recloop import cli
from recloop.clock import from_ms, to_ms
from recloop.features import ITEM_DAILY, RANKING_V1, SEGMENT_DAILY, USER_PROFILE, FeatureView, contract_id
from recloop.negatives import with_negatives
from recloop.settings import Settings
from recloop.splits import TimeSplit, split_by_time
from recloop.tables import CLEAN_EVENTS, ITEMS, LABELS, Column, Origin
from recloop.training_set import EXPOSURE_COLUMNS, EXPOSURE_ORDER, PUBLISHED_MS, ms, write_folder

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

MAX_EXAMPLES = 60_000
READ = (CLEAN_EVENTS, LABELS, ITEMS, *(view.table for view in RANKING_V1.views), SEGMENT_DAILY.table)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.etl.build_training_set", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    cli.add_end(parser, "--until", help="nothing at or after it is read")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; replaced when it exists")
    parser.add_argument("--max-examples", type=int, default=MAX_EXAMPLES, help="newest label rows kept (%(default)s)")
    return parser


def read_interactions(spark: SparkSession, until: datetime) -> pa.Table:
    """Return every interaction before `until`, by user, time and hash."""
    from pyspark.sql import functions as F

    events = spark.table(CLEAN_EVENTS.full_name).where(F.col(Column.EVENT_TIME) < F.lit(until))
    rows = with_hash(interactions(events)).toArrow()
    return rows.sort_by([(name, "ascending") for name in (Column.USER_ID.value, TIME_MS, HASH)])


def newest_known(spark: SparkSession, view: FeatureView, at: datetime) -> DataFrame:
    """Return the newest row per entity that was there, and of before, at a moment."""
    from pyspark.sql import functions as F

    known = (F.col(Column.FEATURE_TIME) <= F.lit(at)) & (F.col(Column.CREATED_AT) <= F.lit(at))
    order = F.struct(Column.FEATURE_TIME, Column.CREATED_AT)
    rows = spark.table(view.table.full_name).where(known)
    newest = rows.groupBy(view.entity.value).agg(F.max_by(F.struct(*rows.columns), order).alias("row"))
    return newest.select("row.*")


def read_items(spark: SparkSession, at: datetime, met: pa.ChunkedArray) -> pa.Table:
    """Return the catalogue with the items' features known at a moment.

    `met` are the items of interactions and examples; one that the catalogue lacks gets a row with nothing but its id.
    """
    import pyarrow as pa
    from pyspark.sql import functions as F

    items = spark.table(ITEMS.full_name)
    others = spark.createDataFrame(pa.table({Column.ITEM_ID.value: met}))
    ids = items.select(Column.ITEM_ID).union(others).distinct()
    features = newest_known(spark, ITEM_DAILY, at).select(Column.ITEM_ID, *ITEM_DAILY.names)
    rows = ids.join(items, Column.ITEM_ID, "left").join(features, Column.ITEM_ID, "left")
    return (
        rows.select(
            Column.ITEM_ID,
            Column.TITLE,
            F.coalesce(Column.CATEGORIES, F.array().cast("array<string>")).alias(Column.CATEGORIES),
            Column.AUTHOR_ID,
            Column.DURATION_MS,
            F.unix_millis(Column.PUBLISHED_AT).alias(PUBLISHED_MS),
            *ITEM_DAILY.names,
        )
        .toArrow()
        .sort_by(Column.ITEM_ID.value)
    )


def exposures(labels: DataFrame) -> pa.Table:
    """Return the label rows that an impression began, in the order their outcomes were known."""
    from pyspark.sql import functions as F

    shown = labels.where(F.col(Column.ORIGIN) == Origin.IMPRESSION.value)
    times = {ms(name): F.unix_millis(name) for name in (Column.EVENT_TIME, Column.KNOWN_AT)}
    order = [(str(name), "ascending") for name in EXPOSURE_ORDER]
    return shown.withColumns(times).select(*EXPOSURE_COLUMNS).toArrow().sort_by(order)


def read_popularity(spark: SparkSession, at: datetime) -> pa.Table:
    """Return the popular items of each segment known at a moment."""
    from pyspark.sql import functions as F

    time_ms = F.unix_millis(Column.FEATURE_TIME).alias(ms(Column.FEATURE_TIME))
    rows = newest_known(spark, SEGMENT_DAILY, at)
    return rows.select(Column.SEGMENT, *SEGMENT_DAILY.names, time_ms).toArrow().sort_by(Column.SEGMENT.value)


def read_users(spark: SparkSession, until: datetime) -> pa.Table:
    """Return the users' profiles known at the end."""
    return newest_known(spark, USER_PROFILE, until).select(Column.USER_ID, *USER_PROFILE.names).toArrow()


def collect(
    spark: SparkSession, settings: Settings, *, until: datetime, most: int
) -> tuple[TimeSplit, dict[str, pa.Table]]:
    """Return the split and every table of the training set, by file name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    log = read_interactions(spark, until)
    split = split_by_time(log[TIME_MS].to_numpy(), end_ms=to_ms(until))
    labels = labels_before(spark, until, window=timedelta(hours=settings.attribution_window_hours))
    examples = with_negatives(newest_labels(labels, split, most=most), log, seed=settings.seed)
    examples = with_features(spark, open_feature_store(settings), examples, RANKING_V1)
    met = pc.unique(pa.chunked_array([*log[Column.ITEM_ID].chunks, *examples[Column.ITEM_ID].chunks]))
    holdout = from_ms(split.holdout_ms)
    return split, {
        "examples": examples,
        "exposures": exposures(labels),
        "interactions": log,
        "items": read_items(spark, holdout, met),
        "users": read_users(spark, until),
        "popularity": read_popularity(spark, holdout),
    }


def build_training_set(
    spark: SparkSession, settings: Settings, *, until: datetime, out: Path, most: int = MAX_EXAMPLES
) -> Outcome:
    """Collect the training set and write its folder."""
    create_tables(spark, *READ)
    snapshots = {table.full_name: snapshot_id(spark, table) for table in READ}
    split, tables = collect(spark, settings, until=until, most=most)
    counts = {name: len(table) for name, table in tables.items()}
    facts = {
        "until_ms": to_ms(until),
        "split": vars(split),
        "snapshots": snapshots,
        "feature_service": RANKING_V1.name,
        "contract_id": contract_id(),
        "seed": settings.seed,
        "counts": counts,
    }
    write_folder(out, tables, facts)
    return Outcome(counts["interactions"], counts["examples"], {"out": str(out), "counts": counts})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job."""
    args = build_parser().parse_args(argv)

    def body(spark: SparkSession, settings: Settings) -> Outcome:
        return build_training_set(spark, settings, until=args.until, out=args.out, most=args.max_examples)

    return run_job("build-training-set", body, imports=["feast"])


if __name__ == "__main__":
    sys.exit(main())
