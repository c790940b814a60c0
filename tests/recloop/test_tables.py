from __future__ import annotations

from recloop import tables
from recloop.tables import Column, Table

TABLES = [value for value in vars(tables).values() if isinstance(value, Table)]


def test_tables_use_only_stated_columns() -> None:
    assert TABLES
    assert {column for table in TABLES for column in table.columns} <= set(Column)


def test_partition_column_is_in_its_table() -> None:
    assert all(table.partitioned_by in table.columns for table in TABLES if table.partitioned_by)


def test_table_names_are_unique_and_have_a_namespace() -> None:
    names = [table.name for table in TABLES]
    assert len(set(names)) == len(names)
    assert all(name.count(".") == 1 for name in names)
