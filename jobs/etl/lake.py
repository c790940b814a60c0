"""Reads and writes of the lake's tables. Every write is one Iceberg commit: readers see all of it or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from recloop.tables import CATALOG, Column, Table

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession

_PROPERTIES = {
    "format-version": "2",
    # Each commit leaves a metadata file; an hourly job would leave thousands.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # Spark takes opening a file for as dear as reading so many bytes. At the default of 4 MB a year of small days
    # becomes a hundred tasks, and each task that runs Python costs a quarter of a second.
    "read.split.open-file-cost": str(256 * 1024),
}


def create_tables(spark: SparkSession, *tables: Table) -> None:
    """Create the tables that are missing."""
    properties = ", ".join(f"'{key}' = '{value}'" for key, value in _PROPERTIES.items())
    for table in tables:
        if spark.catalog.tableExists(table.full_name):
            continue
        partitioning = f"PARTITIONED BY ({table.partitioned_by})" if table.partitioned_by else ""
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {CATALOG}.{table.name.split('.')[0]}")
        spark.sql(
            f"CREATE TABLE IF NOT EXISTS {table.full_name} ({table.ddl}) USING iceberg {partitioning} "
            f"TBLPROPERTIES ({properties})"
        )


def read(spark: SparkSession, table: Table) -> DataFrame:
    """Return a table's rows as of now; a missing table is created empty."""
    create_tables(spark, table)
    return spark.table(table.full_name)


def conform(frame: DataFrame, table: Table) -> DataFrame:
    """Select the table's columns, in order, in their types; a missing column fails here."""
    from pyspark.sql import functions as F

    return frame.select(*(F.col(name).cast(kind).alias(name) for name, kind in table.columns.items()))


def append(frame: DataFrame, table: Table) -> None:
    """Add rows in one commit."""
    create_tables(frame.sparkSession, table)
    conform(frame, table).writeTo(table.full_name).append()


def overwrite(frame: DataFrame, table: Table, where: SparkColumn) -> None:
    """Replace the rows that `where` selects in one commit; it must select whole partitions."""
    create_tables(frame.sparkSession, table)
    conform(frame, table).writeTo(table.full_name).overwrite(where)


def overwrite_all(frame: DataFrame, table: Table) -> None:
    """Replace a whole table in one commit."""
    from pyspark.sql import functions as F

    overwrite(frame, table, F.lit(True))


def overwrite_dates(frame: DataFrame, table: Table, dates: Sequence[date]) -> None:
    """Replace the date partitions named, those that get no row included; no dates: nothing happens."""
    if dates:
        overwrite(frame, table, is_date_in(table, dates))


def is_date_in(table: Table, dates: Sequence[date]) -> SparkColumn:
    """Return the condition that a row lies in one of the date partitions; runs of days become ranges."""
    from pyspark.sql import functions as F

    column = F.col(str(table.partitioned_by))
    condition = F.lit(False)
    for first, last in date_ranges(dates):
        condition = condition | column.between(F.lit(first), F.lit(last))
    return condition


def date_ranges(dates: Sequence[date]) -> list[tuple[date, date]]:
    """Return the runs of consecutive days, first and last included.

    >>> date_ranges([date(2022, 5, 2), date(2022, 5, 1), date(2022, 5, 9)])
    [(datetime.date(2022, 5, 1), datetime.date(2022, 5, 2)), (datetime.date(2022, 5, 9), datetime.date(2022, 5, 9))]
    """
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(dates)):
        if ranges and day - ranges[-1][1] == timedelta(days=1):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def replace_feature_rows(frame: DataFrame, table: Table, after: datetime, until: datetime) -> None:
    """Replace the rows with `after < feature_time <= until` in one commit.

    A first computation appends; a rerun merges, which reads the table once.
    """
    from pyspark.sql import functions as F

    spark = frame.sparkSession
    create_tables(spark, table)
    inside = (F.col(Column.FEATURE_TIME) > F.lit(after)) & (F.col(Column.FEATURE_TIME) <= F.lit(until))
    if spark.table(table.full_name).where(inside).isEmpty():
        append(frame, table)
        return
    entity = next(iter(table.columns))
    new = conform(frame, table).alias("new")
    same = " AND ".join(f"new.{key} = {table.full_name}.{key}" for key in (entity, Column.FEATURE_TIME))
    values = {name: F.col(f"new.{name}") for name in table.columns}
    (
        new.mergeInto(table.full_name, F.expr(same))
        .whenMatched()
        .update(values)
        .whenNotMatched()
        .insert(values)
        .whenNotMatchedBySource(inside)
        .delete()
        .merge()
    )


def snapshot_id(spark: SparkSession, table: Table) -> str | None:
    """Return the id of a table's current snapshot; None while it is empty."""
    row = spark.sql(f"SELECT snapshot_id FROM {table.full_name}.refs WHERE name = 'main'").first()
    return None if row is None else str(row[0])
