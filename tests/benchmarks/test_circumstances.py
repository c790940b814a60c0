"""What stands beside the numbers of every benchmark."""

from __future__ import annotations

import os
from datetime import timedelta

from benchmarks.circumstances import circumstances
from recloop.clock import SystemClock, parse_time
from training.bundle import code_commit


def test_commit_moment_and_machine_are_said() -> None:
    found = circumstances()
    assert list(found) == ["commit", "measured_at", "cores", "load_average"]
    assert (found["commit"], found["cores"]) == (code_commit(), os.cpu_count())
    assert timedelta(0) <= SystemClock().now() - parse_time(found["measured_at"]) < timedelta(minutes=1)
    assert found["load_average"] >= 0
