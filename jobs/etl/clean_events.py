"""Clean raw events: parse, normalise, drop repeats; bad ones go to `raw.rejected_events` with the field and the reason.

Reads what was ingested in [start, end) from `raw.events`; writes the event dates it touches in `clean.events`, where of
one event id the first ingested stays, and replaces the interval's rows in `raw.rejected_events`. Event times are cut to
milliseconds, the grain of every reader. Nothing is published when a critical expectation fails.
Run: python -m jobs.etl.clean_events --date 2022-05-01, or --start TIME --end TIME
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from expectations import clean_events as clean_suite
from expectations import raw_events
from expectations.run import check
from jobs.etl.job import Outcome, run_job
from jobs.etl.lake import conform, create_tables, is_date_in, overwrite_dates
from jobs.etl.stale import mark_stale
from recloop import cli
from recloop.clock import day_start, from_ms, to_ms
from recloop.errors import EventRejected
from recloop.events import parse_event
from recloop.features import USER_RECENT
from recloop.tables import CLEAN_EVENTS, RAW_EVENTS, REJECTED_EVENTS, Column

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession

_PARSED = {**CLEAN_EVENTS.columns, **REJECTED_EVENTS.columns}
"""Columns of a parsed row: those of a clean event where it is good, field and reason where it is not."""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m jobs.etl.clean_events", description=__doc__)
    cli.add_interval(parser)
    return parser


def parse_rows(raw: DataFrame) -> DataFrame:
    """Parse each payload with the kernel's reader; a good row keeps no payload, a bad one nothing but it."""
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructType

    columns = StructType.fromDDL(", ".join(f"{name} {kind}" for name, kind in _PARSED.items()))
    schema = to_arrow_schema(columns)

    def parse_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            yield pa.RecordBatch.from_pylist([parse_row(row) for row in batch.to_pylist()], schema=schema)

    return raw.mapInArrow(parse_batches, columns)


def parse_row(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a raw row with the event's columns filled in, or with field and reason."""
    try:
        event = parse_event(raw[Column.PAYLOAD] or b"", received_at=raw[Column.INGEST_TIME])
    except EventRejected as error:
        return {**raw, Column.FIELD: error.field, Column.REASON: error.reason}
    at = from_ms(to_ms(event.event_time))
    fields = event.model_dump() | {
        Column.EVENT_TIME: at,
        Column.EVENT_DATE: at.date(),
        Column.ACTION: str(event.action),
    }
    return {**raw, **fields, Column.PAYLOAD: None}


def first_of_each(good: DataFrame, known: DataFrame) -> DataFrame:
    """Return one row per event id out of the new and the known rows: the first ingested, at a tie the known one.

    The result has a column `is_new`.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    place = [Column.ORIGIN, Column.KAFKA_PARTITION, Column.KAFKA_OFFSET]
    old = known.withColumn("is_new", F.lit(False))
    both = good.withColumn("is_new", F.lit(True)).unionByName(old, allowMissingColumns=True)
    order = Window.partitionBy(Column.EVENT_ID).orderBy(Column.INGEST_TIME, "is_new", *place)
    kept = both.withColumn("place", F.row_number().over(order)).where("place = 1")
    return kept.select(*CLEAN_EVENTS.columns, "is_new")


def clean(spark: SparkSession, *, start: datetime, end: datetime) -> Outcome:
    """Clean what was ingested in `[start, end)`."""
    from pyspark.sql import functions as F

    create_tables(spark, RAW_EVENTS, REJECTED_EVENTS, CLEAN_EVENTS, USER_RECENT.table)
    parsed = parse_rows(spark.table(RAW_EVENTS.full_name).where(_ingested(start, end))).cache()
    good = parsed.where(F.col(Column.FIELD).isNull())
    rejected = conform(parsed.where(F.col(Column.FIELD).isNotNull()), REJECTED_EVENTS)
    counts = {row[0]: int(row[1]) for row in parsed.groupBy(Column.EVENT_DATE).count().collect()}
    n_rejected = counts.pop(None, 0)
    n_good, dates = sum(counts.values()), sorted(counts)
    known = spark.table(CLEAN_EVENTS.full_name).where(is_date_in(CLEAN_EVENTS, dates))
    result = first_of_each(good, known).cache()
    n_new = result.where("is_new").count()
    warnings = check(parsed, raw_events.suite(n_good + n_rejected)) if n_rejected else []
    warnings += check(result, clean_suite.SUITE) if dates else []
    _publish(result, rejected, dates, start=start, end=end)
    details = {"rejected": n_rejected, "repeated": n_good - n_new, "event_dates": len(dates), "warnings": warnings}
    return Outcome(n_good + n_rejected, n_new, details | {"reasons": _reasons(rejected) if n_rejected else {}})


def _publish(result: DataFrame, rejected: DataFrame, dates: list[date], *, start: datetime, end: datetime) -> None:
    from pyspark.sql import functions as F

    overwrite_dates(result, CLEAN_EVENTS, dates)
    if dates:
        mark_stale(result.sparkSession, USER_RECENT.table, since=day_start(dates[0]))
    known = result.sparkSession.table(REJECTED_EVENTS.full_name)
    touched = rejected.union(known.where(_ingested(start, end))).select(Column.INGEST_DATE).distinct().collect()
    ingest_dates = [row[0] for row in touched]
    kept = known.where(is_date_in(REJECTED_EVENTS, ingest_dates) & ~_inside(start, end))
    overwrite_dates(kept.union(rejected).orderBy(F.col(Column.INGEST_TIME)), REJECTED_EVENTS, ingest_dates)


def _inside(start: datetime, end: datetime) -> SparkColumn:
    from pyspark.sql import functions as F

    return (F.col(Column.INGEST_TIME) >= F.lit(start)) & (F.col(Column.INGEST_TIME) < F.lit(end))


def _ingested(start: datetime, end: datetime) -> SparkColumn:
    from pyspark.sql import functions as F

    # The date condition prunes partitions; the time condition is what is meant.
    dates = F.col(Column.INGEST_DATE).between(F.lit(start.date()), F.lit(end.date()))
    return dates & _inside(start, end)


def _reasons(rejected: DataFrame) -> dict[str, int]:
    from pyspark.sql import functions as F

    by_field = rejected.groupBy(Column.FIELD).agg(F.count("*").alias("n"), F.min(Column.REASON)).orderBy(F.desc("n"))
    rows = by_field.limit(20).collect()
    for field, n_rows, reason in rows:
        print(f"{n_rows} rejected for {field}, e.g.: {reason}")
    return {str(field): int(n_rows) for field, n_rows, _ in rows}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job."""
    args = build_parser().parse_args(argv)

    def body(spark: SparkSession, _: object) -> Outcome:
        return clean(spark, start=args.start, end=args.end)

    return run_job("clean-events", body, imports=["great_expectations"])


if __name__ == "__main__":
    sys.exit(main())
