"""The running job, shared by the tests that need it."""

from __future__ import annotations

from tests.streaming.fixtures import flink_job, flink_job_to_start

__all__ = ["flink_job", "flink_job_to_start"]
