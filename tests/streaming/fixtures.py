"""Fixtures of the stream job, for this folder and for tests/parity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recloop.settings import Settings
from tests.streaming.flink_job import FlinkJob, apply_features


@pytest.fixture(scope="session")
def flink_job_to_start(base_stack: Settings) -> Iterator[FlinkJob]:
    """The job, to be started, on real Kafka, Redis and PostgreSQL."""
    apply_features()
    job = FlinkJob(base_stack)
    yield job
    job.close()


@pytest.fixture
def flink_job(flink_job_to_start: FlinkJob) -> FlinkJob:
    """The job, consuming; started where an earlier test has stopped it."""
    if not flink_job_to_start.pid:
        flink_job_to_start.start()
    return flink_job_to_start
