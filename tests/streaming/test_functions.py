"""Flink's functions carry values only; what mode they run in is told by the interpreter, not by the options."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
from pyflink.common import Row  # noqa: TID253 - what is tested is imported by Flink too

from jobs.streaming.functions import PROCESS_MODE, REJECTS, THREAD_MODE, ParseRecords, execution_mode
from jobs.streaming.packing import unpack_entries

GOOD = b'{"event_id":"e","event_time":"2022-05-01T00:00:00Z","action":"save","user_id":"u","item_id":"i"}'


def test_good_record_goes_on_by_user_and_a_bad_one_aside() -> None:
    [good] = ParseRecords().process_element(Row(GOOD, 0, 7, "2022-05-01 00:00:01.000"), None)
    assert good[0] == "u"
    assert [old.item_id for old in unpack_entries(good[1])] == ["i"]
    [(tag, value)] = ParseRecords().process_element(Row(b"{", 0, 8, "2022-05-01 00:00:01.000"), None)
    assert tag is REJECTS
    assert json.loads(value)["kafka_offset"] == 8


def test_mode_is_thread_only_inside_the_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    assert execution_mode() == PROCESS_MODE
    monkeypatch.setitem(sys.modules, "_pemja", ModuleType("_pemja"))
    assert execution_mode() == THREAD_MODE
