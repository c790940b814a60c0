"""Run the whole loop on real data and report what was measured, on the screen and in `<var>/demo/report.json`.

Run: make demo [DATA=movielens|movielens:DIR|kuairand:DIR|events:DIR], or python -m demo --quick for a small slice.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from demo import steps
from demo.clients import Api, Registry, answering
from demo.memory import MemoryWatch
from demo.prepared import PreparedData, prepare
from demo.report import Report, commit, show
from demo.steps import Demo
from demo.swap import SwapWatch, move_alias, wait_until_serving
from demo.traffic import SteadyTraffic
from recloop.bundles import Alias
from recloop.cli import run
from recloop.errors import ComponentUnavailable
from recloop.settings import Settings, load_settings
from recloop.sources import FORMS

N_PROBES = 200
QUICK = ["--limit", "20000", "--live", "500"]
QUICK_PROBES = 20
FORM: dict[str, Any] = {"ranker": "off"}
"""To find out what a ranker adds takes a minute per training, which a first look need not wait for."""

QUICK_FORM: dict[str, Any] = {"epochs": 1, "ranker": "mean"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when every step did what it says."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--data", default=os.environ.get("DATA") or "movielens", help=FORMS)
    parser.add_argument("--quick", action="store_true", help="the newest 20,000 events, one epoch, 20 probes")
    args = parser.parse_args(argv)

    def command() -> int:
        with answering():
            return run_demo(load_settings(), args)

    return run(command)


def run_demo(settings: Settings, args: argparse.Namespace) -> int:
    """Run every step, write and show the report."""
    console = Console()
    started = time.monotonic()
    report = Report(data=args.data, commit=commit(), addresses=steps.addresses(settings))
    demo = Demo.build(settings, console, report)
    with MemoryWatch(settings.var_dir) as memory:
        demo.say(f"Getting the data: {args.data}.")
        data = prepare(settings, args.data, QUICK if args.quick else [])
        steps.show_data(demo, data)
        steps.start_stack(demo)
        n_probes, form = (QUICK_PROBES, QUICK_FORM) if args.quick else (N_PROBES, FORM)
        run_loop(demo, data, n_probes=n_probes, form=form)
    report.peak_memory_mb = memory.peak_mb
    report.total_seconds = round(time.monotonic() - started, 1)
    path = settings.var_dir / "demo" / "report.json"
    report.write(path)
    show(report, console)
    demo.say(f"The report is in {path}. The stack stays up; `make down` stops it.")
    if report.failed_requests:
        raise ComponentUnavailable(
            f"{report.failed_requests} of {report.requests} requests failed while the model was swapped; expected "
            f"none. See {settings.var_dir / 'log' / 'serving.log'}."
        )
    return 0


def run_loop(demo: Demo, data: PreparedData, *, n_probes: int, form: dict[str, Any]) -> None:
    """Go once round the loop, and once more on what came in; `form` is that of the DAG train_model."""
    loop_started = datetime.now(UTC)
    first = steps.first_model(demo, data)
    if first is None:
        steps.ingest_history(demo, data)
        first = steps.train(demo, data.live_first, form=form)
    serve(demo, first)
    data.mark_ingested()
    steps.replay_live(demo, data)
    until = datetime.now(UTC)
    steps.show_one_user(demo, data)
    steps.measure_freshness(demo, n_probes)
    users = sorted({event["user_id"] for event in data.live_events()})
    with SteadyTraffic(demo.settings, users) as traffic, watch_swap(demo.settings) as swap:
        steps.ingest_live(demo, data, loop_started)
        second = steps.train(demo, until, form=form)
        by_hand = serve(demo, second)
        steps.roll_back_and_forward(demo, first, second)
    demo.report.swap_seconds = by_hand if by_hand is not None else swap.seconds
    demo.report.requests, demo.report.failed_requests = traffic.sent, traffic.failed
    demo.report.served_by = dict(traffic.served_by)


def watch_swap(settings: Settings) -> SwapWatch:
    """Return a watch with clients of its own: the demo's are in use by the thread that waits for the DAG."""
    return SwapWatch(Registry(settings, Alias.CHAMPION), Api(settings))


def serve(demo: Demo, version: str) -> float | None:
    """Wait until serving answers with a version.

    Where the gate refused it, the alias is moved by hand, for the demonstration only, and the seconds are returned.
    """
    if demo.registry.version() == version:
        wait_until_serving(demo.api, version)
        return None
    demo.say(f"Moving the alias to version {version} by hand, to show the swap; the gate's word is in the report.")
    return move_alias(demo.registry, demo.api, version)


if __name__ == "__main__":
    sys.exit(main())
