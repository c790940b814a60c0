"""The frame of every batch job: settings, a Spark session, and the last line printed, a JSON object of counts."""

from __future__ import annotations

import importlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from jobs.etl.spark import spark_session
from recloop import cli
from recloop.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Outcome:
    """What a job did; `details` are further counts."""

    rows_in: int
    rows_out: int
    details: dict[str, Any] = field(default_factory=dict)


def run_job(name: str, body: Callable[[SparkSession, Settings], Outcome], *, imports: Sequence[str] = ()) -> int:
    """Run a job's body in a Spark session and print its outcome as the last line of stdout.

    Args:
        name: of the Spark application.
        body: the job.
        imports: heavy modules the body will need; they are imported while the JVM starts.
    """

    def command() -> int:
        started = time.monotonic()
        settings = load_settings()
        for library in ("great_expectations", "py4j"):
            # Both log what they do, line by line; what fails raises.
            logging.getLogger(library).setLevel(logging.ERROR)
        Thread(target=_import_all, args=(imports,), daemon=True).start()
        with spark_session(name, settings) as spark:
            outcome = body(spark, settings)
            memory, cpu = peak_memory_mb(), cpu_seconds()
        seconds = time.monotonic() - started
        print(report_line(outcome, seconds=seconds, cpu=cpu, memory_mb=memory), flush=True)
        return 0

    return cli.run(command)


def _import_all(names: Sequence[str]) -> None:
    for name in names:
        importlib.import_module(name)


def report_line(outcome: Outcome, *, seconds: float, cpu: float, memory_mb: float) -> str:
    """Return the JSON object that Airflow pushes to XCom and the demo reads.

    >>> report_line(Outcome(3, 2, {"rejected": 1}), seconds=1.26, cpu=2.0, memory_mb=10.04)
    '{"rows_in": 3, "rows_out": 2, "seconds": 1.3, "cpu_seconds": 2.0, "peak_memory_mb": 10.0, "rejected": 1}'
    """
    facts = {"rows_in": outcome.rows_in, "rows_out": outcome.rows_out, "seconds": round(seconds, 1)}
    facts |= {"cpu_seconds": round(cpu, 1), "peak_memory_mb": round(memory_mb, 1)}
    return json.dumps(facts | outcome.details)


def peak_memory_mb() -> float:
    """Return the summed peaks of this process and those below it that still live (the JVM, Python workers)."""
    return sum(_peak_kb(process) for process in _family()) / 1024


def cpu_seconds() -> float:
    """Return the processor time of the same processes, which a busy machine does not stretch as it does `seconds`."""
    ticks = 0
    for process in _family():
        try:
            # utime, stime, and those of children that ended.
            ticks += sum(int(each) for each in _stat(process)[11:15])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(process: int) -> list[str]:
    # The command's name, in brackets, may hold blanks: fields are counted after it, from the state on.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _family() -> set[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(_stat(int(path.parent.name))[1])
        except (OSError, IndexError):
            continue
    family, grown = {os.getpid()}, True
    while grown:
        found = {child for child, parent in parents.items() if parent in family} - family
        family, grown = family | found, bool(found)
    return family


def _peak_kb(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
