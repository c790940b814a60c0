"""A short Spark session that does what the batch jobs do, and whose JVM writes its classes to a file at exit.

Run: python -m stack.rehearsal FILE
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recloop.lake import CATALOG_PASSWORD, JAVA_OPTIONS, spark_conf
from recloop.settings import Settings
from recloop.tables import CATALOG

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def main(argv: Sequence[str] | None = None) -> int:
    """Rehearse in a folder that is removed."""
    parser = argparse.ArgumentParser(prog="python -m stack.rehearsal", description=__doc__)
    parser.add_argument("archive", type=Path, help="file to write")
    archive = parser.parse_args(argv).archive
    with tempfile.TemporaryDirectory() as folder:
        spark = start(archive, Path(folder))
        rehearse(spark)
        spark.stop()
        # The JVM writes its archive when its launcher's pipe closes: this process must see it end.
        gateway: Any = spark.sparkContext._gateway
        gateway.shutdown()
        gateway.proc.stdin.close()
        return int(gateway.proc.wait(timeout=120) and 1)


def start(archive: Path, folder: Path) -> SparkSession:
    """Start a session of the jobs' own configuration, but for a catalogue that needs no server."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    settings = Settings(var_dir=folder, spark_master="local[2]")
    os.environ.setdefault("SPARK_LOCAL_IP", settings.host)
    options = spark_conf(settings)
    del options[CATALOG_PASSWORD]
    options[JAVA_OPTIONS] += f" -XX:ArchiveClassesAtExit={archive}"
    options |= {f"spark.sql.catalog.{CATALOG}.type": "hadoop", f"spark.sql.catalog.{CATALOG}.warehouse": str(folder)}
    return SparkSession.builder.config(conf=SparkConf().setAll(list(options.items()))).getOrCreate()


def rehearse(spark: SparkSession) -> None:
    """Write and read an Iceberg table; use windows, joins, aggregates, arrays and a function in Python."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    spark.sql(
        f"CREATE TABLE {CATALOG}.rehearsal.events (id bigint, user_id string, at timestamp, items array<string>, "
        "day date) USING iceberg PARTITIONED BY (day)"
    )
    frame = spark.range(2_000).select(
        "id",
        (F.col("id") % 97).cast("string").alias("user_id"),
        F.current_timestamp().alias("at"),
        F.array(F.lit("a"), F.lit("b")).alias("items"),
        F.current_date().alias("day"),
    )
    order = Window.partitionBy("user_id").orderBy(F.desc("at"), "id")
    newest = frame.withColumn("place", F.row_number().over(order)).where("place <= 100").drop("place")
    passed = newest.mapInArrow(_pass_on, newest.schema).cache()
    passed.writeTo(f"{CATALOG}.rehearsal.events").overwritePartitions()
    _sum_up(spark.table(f"{CATALOG}.rehearsal.events")).join(passed.select("user_id").distinct(), "user_id").collect()


def _sum_up(events: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    exploded = events.withColumn("item", F.explode("items"))
    sums = exploded.groupBy("user_id").agg(F.count("*").alias("n"), F.collect_list("item").alias("items"))
    return sums.orderBy(F.desc("n"))


def _pass_on(batches: Iterator[Any]) -> Iterator[Any]:
    yield from batches


if __name__ == "__main__":
    sys.exit(main())
