"""Flink's rows are the kernel's: random logs, out of order, with repeats, over more than a hundred interactions."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from recloop.events import Action, Event

# Fixtures are found by their names in this module.
from tests.streaming.fixtures import flink_job, flink_job_to_start  # noqa: F401
from tests.streaming.flink_job import FlinkJob

pytestmark = [pytest.mark.stack, pytest.mark.slow]
END = datetime.now(UTC) - timedelta(minutes=1)


def random_log(n: int, *, seed: int, n_users: int) -> list[Event]:
    """Return events of which many share a millisecond, with every action and odd identifiers."""
    rng = random.Random(seed)
    return [
        Event(
            event_id=f"parity-{seed}-{number}",
            event_time=END - timedelta(milliseconds=rng.randrange(200)),
            action=rng.choice(list(Action)),
            user_id=f"parité-{seed}-{rng.randrange(n_users)}",
            item_id=rng.choice(["電影", "i-1", "i-2", "\U0001f3ac" * 20]) + str(rng.randrange(30)),
            dwell_ms=rng.choice([None, 0, 1, 86_400_000]),
        )
        for number in range(n)
    ]


@pytest.mark.parametrize(
    ("n", "n_users"),
    [
        pytest.param(30, 30, id="an_event_or_two_each"),
        pytest.param(1_000, 4, id="more_than_a_hundred_each"),
        pytest.param(3_000, 200, id="many_users"),
    ],
)
def test_stream_and_kernel_agree_in_any_order_and_with_repeats(
    flink_job: FlinkJob,  # noqa: F811
    n: int,
    n_users: int,
) -> None:
    log = random_log(n, seed=n, n_users=n_users)
    rng = random.Random(n)
    arrived = [each.to_json() for each in log + rng.sample(log, n // 3)]
    rng.shuffle(arrived)
    flink_job.produce(arrived)
    flink_job.wait_for_rows(log)
