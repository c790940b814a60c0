"""Measure a running serving process: milliseconds per slate and per acknowledged event, as a client sees them.

In: a stack with a promoted model and users in its online store (`make demo` leaves one). Out: the quantiles, printed;
they and every sample in benchmarks/results/serving.json. Events measured are views of users that nobody else has.
Run: python -m benchmarks.serving --requests 2000 --clients 1
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from benchmarks.circumstances import circumstances
from benchmarks.quantiles import quantiles
from recloop.cli import run
from recloop.clock import SystemClock, format_time
from recloop.errors import ComponentUnavailable
from recloop.settings import PROJECT_DIR, load_settings
from training.reports import check_writable

RESULTS = PROJECT_DIR / "benchmarks" / "results" / "serving.json"
WARM_UP = 20

Ask = Callable[[httpx.Client, int], httpx.Response]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000, help="of each kind (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=1, help="that ask side by side (default: %(default)s)")
    parser.add_argument("--users", type=int, default=943, help="user ids go from 1 to this (default: %(default)s)")
    args = parser.parse_args(argv)
    if not 1 <= args.clients <= args.requests or args.users < 1:
        parser.error("--clients and --users are 1 or more, and --requests no fewer than --clients")
    return run(lambda: measure(args.requests, args.clients, args.users))


def measure(n_requests: int, n_clients: int, n_users: int) -> int:
    """Measure both pages of the serving process of the settings."""
    check_writable(RESULTS)
    url = load_settings().serving
    mark = uuid.uuid4().hex[:8]
    clock = SystemClock()

    def slate(client: httpx.Client, number: int) -> httpx.Response:
        return client.post("/v1/recommendations", json={"user_id": str(number % n_users + 1), "surface": "home"})

    def event(client: httpx.Client, number: int) -> httpx.Response:
        name = f"benchmark-{mark}-{number}"
        at = format_time(clock.now())
        fields = {"event_id": name, "event_time": at, "action": "view", "user_id": name, "item_id": "1"}
        return client.post("/v1/events", json=fields)

    results = {
        "slate": measured(url, slate, n_requests, n_clients),
        "event": measured(url, event, n_requests, n_clients),
    }
    report = {"clients": n_clients, **circumstances(), **results}
    RESULTS.write_text(json.dumps(report) + "\n", encoding="utf-8")
    for result in results.values():
        result.pop("samples_ms")
    print(json.dumps(report, indent=1))
    return 0


def measured(url: str, ask: Ask, n_requests: int, n_clients: int) -> dict[str, Any]:
    """Ask `n_requests` times from `n_clients` threads; return quantiles, what served, and the samples.

    Each client asks as often; a remainder is left out.

    Raises:
        ComponentUnavailable: nobody answers, or one stops to.
    """
    samples: list[float] = []
    outcomes: Counter[str] = Counter()
    numbers = itertools.count()

    def work() -> None:
        with httpx.Client(base_url=url, timeout=10) as client:
            for _ in range(WARM_UP):
                ask(client, next(numbers))
            for _ in range(n_requests // n_clients):
                began = time.perf_counter()
                answer = ask(client, next(numbers))
                samples.append((time.perf_counter() - began) * 1_000)
                outcomes[f"{answer.status_code} {answer.json().get('served_by', '')}".strip()] += 1

    with ThreadPoolExecutor(n_clients) as pool:
        clients = [pool.submit(work) for _ in range(n_clients)]
    try:
        for client in clients:
            client.result()
    except httpx.TransportError as error:
        raise ComponentUnavailable(f"serving at {url} does not answer: {error}. Start the stack: make up.") from error
    rounded = [round(sample, 3) for sample in samples]
    return {"n": len(samples), **quantiles(samples), "outcomes": dict(outcomes), "samples_ms": rounded}


if __name__ == "__main__":
    sys.exit(main())
