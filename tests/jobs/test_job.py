"""The frame of every batch job."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jobs.etl.job import cpu_seconds, peak_memory_mb
from recloop.commands import module
from recloop.settings import PROJECT_DIR, Environment

JOBS = (
    "land_catalog", "land_events", "clean_events", "attribute_labels", "compute_features", "apply_features",
    "materialize_features", "build_training_set",
)  # fmt: skip


def test_peak_memory_includes_children_and_does_not_forget() -> None:
    before = peak_memory_mb()
    child = subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(100 << 20); x[::4096] = b'1' * len(x[::4096]); del x; print(1); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert peak_memory_mb() - before > 100
    finally:
        child.communicate(b"\n")


def test_processor_time_grows_with_work() -> None:
    before = cpu_seconds()
    while cpu_seconds() - before < 0.05:
        sum(range(100_000))
    assert cpu_seconds() > before


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_help_answers_without_spark(name: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--help']\n"
        f"import jobs.etl.{name} as job\n"
        "try:\n    job.main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "loaded = {'pyspark', 'feast', 'great_expectations', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m jobs.etl." in done.stdout


@pytest.mark.slow
def test_missing_catalogue_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECLOOP_POSTGRES_ADDRESS", "127.0.0.1:9")
    command = module(Environment.CORE, "jobs.etl.clean_events", ["--start", "2022-05-01", "--end", "2022-05-02"])
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "PostgreSQL at 127.0.0.1:9 holds the lake's catalogue and does not answer" in done.stderr
