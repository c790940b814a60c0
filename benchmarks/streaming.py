"""Measure the running stream job: milliseconds from an event to its row in the online store, and events per second.

In: a stack whose component `streaming` runs (`make up` starts one). Out: the quantiles, printed; they and every sample
in benchmarks/results/streaming.json. Events measured are views of users that nobody else has.
Run: python -m benchmarks.streaming --probes 500 --burst 20000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Producer

from benchmarks.circumstances import circumstances
from benchmarks.quantiles import quantiles
from jobs.streaming.online_rows import FeastRows, OnlineRows
from recloop.cli import run
from recloop.clock import SystemClock
from recloop.errors import ComponentUnavailable
from recloop.events import Action, Event
from recloop.settings import PROJECT_DIR, Settings, load_settings
from recloop.tables import Topic
from training.reports import check_writable

RESULTS = PROJECT_DIR / "benchmarks" / "results" / "streaming.json"
WARM_UP = 50
PAUSE_SECONDS = 0.02
SECONDS_TO_WAIT = 60


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--probes", type=int, default=500, help="events measured one by one (default: %(default)s)")
    parser.add_argument("--burst", type=int, default=20_000, help="events sent at once (default: %(default)s)")
    parser.add_argument("--users", type=int, default=2_000, help="of the burst (default: %(default)s)")
    args = parser.parse_args(argv)
    if min(args.probes, args.burst, args.users) < 1:
        parser.error("--probes, --burst and --users are 1 or more")
    return run(lambda: measure(load_settings(), args.probes, args.burst, args.users))


def measure(settings: Settings, n_probes: int, n_burst: int, n_users: int) -> int:
    """Measure freshness, then throughput."""
    check_writable(RESULTS)
    rows = FeastRows(settings)
    mark = f"benchmark-{uuid.uuid4().hex[:8]}"
    samples = list(freshness(settings, rows, mark, n_probes + WARM_UP))[WARM_UP:]
    report = {
        **circumstances(),
        "event_to_row": {"n": len(samples), **quantiles(samples)},
        "burst": burst(settings, rows, mark, n_burst, n_users),
    }
    print(json.dumps(report, indent=1))
    report["samples_ms"] = [round(sample, 3) for sample in samples]
    RESULTS.write_text(json.dumps(report) + "\n", encoding="utf-8")
    return 0


def freshness(settings: Settings, rows: FeastRows, mark: str, n: int) -> Iterator[float]:
    """Yield milliseconds from handing an event to Kafka to reading it in its user's row, one after another."""
    producer = Producer({"bootstrap.servers": settings.kafka, "linger.ms": 0})
    for number in range(n):
        user_id, item_id = f"{mark}-{number % 50}", f"item-{number}"
        payload = view(mark, number, user_id=user_id, item_id=item_id)
        began = time.perf_counter()
        producer.produce(Topic.EVENTS, payload)
        producer.poll(0)
        wait_for_item(rows, user_id, item_id)
        yield (time.perf_counter() - began) * 1_000
        time.sleep(PAUSE_SECONDS)
    producer.flush()


def burst(settings: Settings, rows: FeastRows, mark: str, n: int, n_users: int) -> dict[str, Any]:
    """Send `n` events at once; count the seconds until every user's last one is in its row."""
    producer = Producer({"bootstrap.servers": settings.kafka, "queue.buffering.max.messages": 1_000_000})
    payloads = [
        view(f"{mark}-burst", number, user_id=f"{mark}-burst-{number % n_users}", item_id=f"item-{number}")
        for number in range(n)
    ]
    began = time.perf_counter()
    for payload in payloads:
        producer.produce(Topic.EVENTS, payload)
        producer.poll(0)
    producer.flush()
    for number in range(max(0, n - n_users), n):
        wait_for_item(rows, f"{mark}-burst-{number % n_users}", f"item-{number}")
    seconds = time.perf_counter() - began
    return {"events": n, "users": n_users, "seconds": round(seconds, 2), "events_per_second": round(n / seconds)}


def wait_for_item(rows: OnlineRows, user_id: str, item_id: str) -> None:
    """Wait until a user's row has an item.

    Raises:
        ComponentUnavailable: it does not come.
    """
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while item_id not in rows.read(user_id).item_ids:
        if time.monotonic() > deadline:
            raise ComponentUnavailable(
                f"an event is not in its user's row after {SECONDS_TO_WAIT} s. Start the stream job: make up."
            )
        time.sleep(0.0005)


def view(mark: str, number: int, *, user_id: str, item_id: str) -> bytes:
    """Return a view that happens now."""
    return Event(
        event_id=f"{mark}-{number}",
        event_time=SystemClock().now(),
        action=Action.VIEW,
        user_id=user_id,
        item_id=item_id,
    ).to_json()


if __name__ == "__main__":
    sys.exit(main())
