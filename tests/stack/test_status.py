"""What is shown of a stack that does not run; the running one is in test_up.py."""

from __future__ import annotations

import os

import pytest

from recloop.settings import Settings
from stack.status import memory_bytes, read_status, show_status


def test_stack_that_does_not_run_is_shown_as_stopped(settings: Settings) -> None:
    rows = read_status(settings)
    assert len(rows) == 10
    assert {row.state for row in rows} == {"stopped"}
    assert sum(row.memory_mb for row in rows) == 0


def test_table_has_a_line_per_component_with_address_and_log(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    show_status(settings)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12  # title, ten components, sum
    (redis,) = [line for line in lines if line.startswith("redis")]
    assert "127.0.0.1:20002" in redis
    assert str(settings.var_dir / "log" / "redis.log") in redis


def test_memory_of_a_process_that_is_gone_is_zero() -> None:
    assert memory_bytes(os.getpid()) > 5_000_000
    assert memory_bytes(2**22 + 1) == 0
