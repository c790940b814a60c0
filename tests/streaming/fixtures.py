"""Fixtures of the stream job, for this folder and for tests/parity."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from recloop.settings import Settings, load_settings
from tests.streaming.flink_job import FlinkJob, apply_features


@cache
def job_on(var_dir: Path) -> FlinkJob:
    """Return the one job of a stack: pytest makes the fixture below once for each folder that imports it."""
    apply_features()
    return FlinkJob(load_settings())


@pytest.fixture(scope="session")
def flink_job_to_start(base_stack: Settings) -> Iterator[FlinkJob]:
    """The job, to be started, on real Kafka, Redis and PostgreSQL."""
    job = job_on(base_stack.var_dir)
    yield job
    job.close()


@pytest.fixture
def flink_job(flink_job_to_start: FlinkJob) -> FlinkJob:
    """The job, consuming; started where an earlier test has stopped it."""
    if not flink_job_to_start.pid:
        flink_job_to_start.start()
    return flink_job_to_start
