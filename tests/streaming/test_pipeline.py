"""The table over the topic names what the functions unpack, in their order."""

from __future__ import annotations

from dataclasses import fields

from jobs.streaming.pipeline import source_ddl
from jobs.streaming.records import Record
from recloop.settings import Settings


def test_table_has_the_fields_of_a_record_in_order() -> None:
    ddl = source_ddl(Settings(kafka_bootstrap_servers="a:1,b:2"))
    places = [ddl.index(f"{field.name} ") for field in fields(Record)]
    assert len(places) == 4
    assert places == sorted(places)
    assert "'properties.bootstrap.servers' = 'a:1,b:2'" in ddl


def test_first_start_reads_from_the_groups_offset_or_the_oldest_record() -> None:
    ddl = source_ddl(Settings())
    assert "'scan.startup.mode' = 'group-offsets'" in ddl
    assert "'properties.auto.offset.reset' = 'earliest'" in ddl
