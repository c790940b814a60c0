"""Land raw events: bytes as they came, with where and when they came from.

Reads the topic from its last landed offset on, or with --files the `events*` files of a folder (JSON Lines, gzipped or
not, or Parquet). Appends to `raw.events`, nothing twice: an offset, or a line of a file of the same content, lands
once. A file's events count as having arrived when they happened; one whose time is unreadable or yet to come, at
--start. Only what arrived in [start, end) lands from files; from the topic all up to now, for the next run to clean.
Run: python -m jobs.etl.land_events --date 2022-05-01, or --start TIME --end TIME [--files DIR]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.etl.event_files import find_event_files, origin, read_batches
from jobs.etl.job import Outcome, run_job
from jobs.etl.lake import append, create_tables
from jobs.etl.topic import broker_offsets, landed_offsets, read_topic, spans_to_land
from recloop import cli
from recloop.clock import Clock, SystemClock
from recloop.errors import SourceError
from recloop.settings import Settings
from recloop.tables import RAW_EVENTS, Column, Topic

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m jobs.etl.land_events", description=__doc__)
    cli.add_interval(parser)
    parser.add_argument("--files", type=Path, default=None, help="folder with events* files; default: the topic")
    return parser


def read_files(spark: SparkSession, folder: Path) -> DataFrame:
    """Return payload, origin and line number of every event in a folder; each file is read by one task."""
    files = [(str(path.resolve()), origin(path)) for path in find_event_files(folder)]

    def read_each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                yield from read_batches(Path(row["path"]), row["name"])

    listing = spark.createDataFrame(files, "path string, name string").repartition(len(files))
    columns = {name: RAW_EVENTS.columns[name] for name in (Column.PAYLOAD, Column.ORIGIN, Column.KAFKA_OFFSET)}
    return listing.mapInArrow(read_each, ", ".join(f"{name} {kind}" for name, kind in columns.items()))


def stamp_arrival(rows: DataFrame, *, start: datetime, now: datetime) -> DataFrame:
    """Add the ingest time of events out of files: their own time, or `start` where it is unreadable or yet to come."""
    from pyspark.sql import functions as F

    text = F.get_json_object(F.col(Column.PAYLOAD).cast("string"), f"$.{Column.EVENT_TIME}")
    happened = text.try_cast("timestamp")
    usable = (
        happened.isNotNull() & (happened <= F.lit(now)) & (happened >= F.lit(datetime.fromtimestamp(0, now.tzinfo)))
    )
    arrived = F.when(usable, happened).otherwise(F.lit(start))
    return rows.withColumn(Column.INGEST_TIME, arrived).withColumn(Column.KAFKA_PARTITION, F.lit(None).cast("int"))


def without_landed(rows: DataFrame, landed: DataFrame) -> DataFrame:
    """Drop the lines that an earlier run landed."""
    return rows.join(
        landed.select(Column.ORIGIN, Column.KAFKA_OFFSET), [Column.ORIGIN, Column.KAFKA_OFFSET], "left_anti"
    )


def land_files(spark: SparkSession, folder: Path, *, start: datetime, end: datetime, clock: Clock) -> Outcome:
    """Land a folder's events that arrived in `[start, end)`."""
    from pyspark.errors import PythonException
    from pyspark.sql import functions as F

    rows = stamp_arrival(read_files(spark, folder), start=start, now=clock.now())
    inside = F.col(Column.INGEST_TIME).between(F.lit(start), F.lit(end)) & (F.col(Column.INGEST_TIME) < F.lit(end))
    rows = rows.withColumn("inside", inside).cache()
    try:
        counts = {bool(row[0]): int(row[1]) for row in rows.groupBy("inside").count().collect()}
    except PythonException as error:
        raise _source_error(error) from error
    names = [origin(path) for path in find_event_files(folder)]
    landed = spark.table(RAW_EVENTS.full_name).where(F.col(Column.ORIGIN).isin(names))
    fresh = without_landed(rows.where("inside"), landed).cache()
    n_fresh = _land(fresh)
    n_inside, n_outside = counts.get(True, 0), counts.get(False, 0)
    if n_outside:
        print(f"{n_outside} events lie outside [{start.isoformat()}, {end.isoformat()}) and were not landed.")
    details = {"source": "files", "outside_interval": n_outside, "landed_before": n_inside - n_fresh}
    return Outcome(n_inside + n_outside, n_fresh, details)


def land_topic(spark: SparkSession, settings: Settings) -> Outcome:
    """Land what the topic holds beyond the landed offsets."""
    spans = spans_to_land(landed_offsets(spark, Topic.EVENTS), broker_offsets(settings, Topic.EVENTS))
    lost = sum(span.lost for span in spans.values())
    if lost:
        print(
            f"{lost} messages were deleted from the topic before they were landed: run hourly, or keep messages longer."
        )
    n_new = sum(span.end - span.start for span in spans.values())
    n_landed = _land(read_topic(spark, settings, Topic.EVENTS, spans).cache()) if n_new else 0
    offsets = {str(number): span.end for number, span in spans.items()}
    return Outcome(n_new, n_landed, {"source": "topic", "lost": lost, "next_offsets": offsets})


def _land(rows: DataFrame) -> int:
    from pyspark.sql import functions as F

    n_rows = rows.count()
    if n_rows:
        append(rows.withColumn(Column.INGEST_DATE, F.to_date(Column.INGEST_TIME)), RAW_EVENTS)
    return n_rows


def _source_error(error: Exception) -> SourceError:
    # The worker's own message is the last line of the traceback that Spark hands over.
    lines = [line for line in str(error).splitlines() if "SourceError:" in line]
    return SourceError(lines[-1].partition("SourceError: ")[2] if lines else str(error))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job."""
    args = build_parser().parse_args(argv)

    def body(spark: SparkSession, settings: Settings) -> Outcome:
        create_tables(spark, RAW_EVENTS)
        if args.files is None:
            return land_topic(spark, settings)
        return land_files(spark, args.files, start=args.start, end=args.end, clock=SystemClock())

    return run_job("land-events", body)


if __name__ == "__main__":
    sys.exit(main())
