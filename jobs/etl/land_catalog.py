"""Land the catalogue: what can be recommended, and what is known of the users.

Reads `items.jsonl` and `users.jsonl` of a folder (fields as in recloop.tables.ITEMS and USERS, without created_at;
`updated_at` is 1970 where missing), merges them into `catalog.items`, `catalog.users` and `features.user_profile`:
of one id the newest `updated_at` stays, at a tie the row landed last. Rows without an id or that are no JSON object are
counted and kept out.
Run: python -m jobs.etl.land_catalog --files DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.etl.job import Outcome, run_job
from jobs.etl.lake import overwrite_all, read
from jobs.etl.stale import mark_stale
from recloop.attributes import MAX_ATTRIBUTES, MAX_LENGTH, USER_ATTRIBUTES
from recloop.clock import EPOCH, SystemClock
from recloop.errors import SourceError
from recloop.features import USER_PROFILE
from recloop.tables import ITEMS, USERS, Column, Table

if TYPE_CHECKING:
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame, SparkSession

FILES = {"items.jsonl": (ITEMS, Column.ITEM_ID), "users.jsonl": (USERS, Column.USER_ID)}


@dataclass(frozen=True)
class Landed:
    """Counts of one file: its rows, those kept out, repeated ids, and the table's rows afterwards."""

    rows_in: int
    bad: int
    repeated: int
    rows_out: int


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m jobs.etl.land_catalog", description=__doc__)
    parser.add_argument("--files", type=Path, required=True, help="folder with items.jsonl and users.jsonl")
    return parser


def read_rows(spark: SparkSession, path: Path, table: Table, *, now: datetime) -> DataFrame:
    """Return a file's rows in the table's columns; a line that is no JSON object has nothing but nulls."""
    from pyspark.sql import functions as F

    fields = {name: kind for name, kind in table.columns.items() if name != Column.CREATED_AT}
    schema = ", ".join(f"{name} {kind}" for name, kind in fields.items())
    rows = spark.read.schema(schema).option("mode", "PERMISSIVE").json(path.resolve().as_uri())
    updated = F.coalesce(Column.UPDATED_AT, F.lit(EPOCH))
    return rows.withColumn(Column.UPDATED_AT, updated).withColumn(Column.CREATED_AT, F.lit(now))


def newest_rows(new: DataFrame, known: DataFrame, key: Column) -> DataFrame:
    """Return one row per id out of both: the newest `updated_at`, at a tie the newest `created_at`."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    order = Window.partitionBy(key).orderBy(
        F.desc(Column.UPDATED_AT), F.desc(Column.CREATED_AT), F.to_json(F.struct("*"))
    )
    both = new.select(known.columns).unionByName(known)
    return both.withColumn("place", F.row_number().over(order)).where("place = 1").drop("place")


def land_file(spark: SparkSession, path: Path, *, now: datetime) -> Landed:
    """Merge one file into its table; a missing file changes nothing."""
    from pyspark.sql import functions as F

    table, key = FILES[path.name]
    known = read(spark, table)
    if not path.is_file():
        return Landed(0, 0, 0, known.count())
    rows = read_rows(spark, path, table, now=now).cache()
    has_id = F.col(key).isNotNull() & (F.trim(key) != "")
    total, good, ids = rows.agg(
        F.count("*"), F.count_if(has_id), F.count_distinct(F.when(has_id, F.col(key)))
    ).first() or (0, 0, 0)
    merged = newest_rows(rows.where(has_id), known, key).cache()
    n_rows = merged.count()
    overwrite_all(merged, table)
    if total - good:
        print(f"{path.name}: {total - good} of {total} rows have no {key} or are no JSON object; they were kept out.")
    if good - ids:
        print(f"{path.name}: {good - ids} rows repeat a {key}; the newest {Column.UPDATED_AT} was kept.")
    return Landed(total, total - good, good - ids, n_rows)


def profile_rows(users: DataFrame) -> DataFrame:
    """Return user profiles as feature rows.

    A profile counts as known from its own `updated_at` on: sources state attributes, not when they told us, and with
    the landing time as created_at a backfilled history would have no profile at all.
    """
    from pyspark.sql import functions as F

    return users.withColumn(USER_ATTRIBUTES, attribute_texts()).select(
        Column.USER_ID,
        F.col(Column.UPDATED_AT).alias(Column.FEATURE_TIME),
        F.col(Column.UPDATED_AT).alias(Column.CREATED_AT),
        *USER_PROFILE.names,
    )


def attribute_texts() -> Expression:
    """Return the attributes as `recloop.attributes.attribute_texts` has them."""
    from pyspark.sql import functions as F

    entries = F.map_entries(F.coalesce(Column.ATTRIBUTES, F.create_map().cast("map<string,string>")))
    known = F.filter(entries, lambda pair: (F.length(pair["value"]) > 0) & ~F.contains(pair["key"], F.lit("=")))
    texts = F.transform(known, lambda pair: F.concat_ws("=", pair["key"], F.substring(pair["value"], 1, MAX_LENGTH)))
    return F.slice(F.array_sort(texts), 1, MAX_ATTRIBUTES)


def update_profiles(spark: SparkSession) -> None:
    """Add the users' current rows to the change log of profiles; one of the same moment is replaced."""
    new = profile_rows(spark.table(USERS.full_name)).cache()
    key = [Column.USER_ID, Column.FEATURE_TIME]
    known = read(spark, USER_PROFILE.table).join(new.select(*key), key, "left_anti")
    overwrite_all(known.select(new.columns).unionByName(new), USER_PROFILE.table)
    mark_stale(spark, USER_PROFILE.table, since=EPOCH)


def land_catalog(spark: SparkSession, folder: Path, *, now: datetime) -> Outcome:
    """Land both files of a folder and bring the profiles up to date."""
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder; expected one with {' and '.join(FILES)}.")
    landed = {name: land_file(spark, folder / name, now=now) for name in FILES}
    update_profiles(spark)
    details = {name.removesuffix(".jsonl"): vars(counts) for name, counts in landed.items()}
    rows_in = sum(counts.rows_in for counts in landed.values())
    return Outcome(rows_in, sum(counts.rows_out for counts in landed.values()), details)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job."""
    args = build_parser().parse_args(argv)

    def body(spark: SparkSession, _: object) -> Outcome:
        return land_catalog(spark, args.files, now=SystemClock().now())

    return run_job("land-catalog", body)


if __name__ == "__main__":
    sys.exit(main())
