"""The demo's steps, in order; each says in a plain sentence what it does and shows how far it is."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from demo.clients import Airflow, Api, DagRunFailed, Registry, TaskResult, attempts
from demo.live import choose_saves, choose_user, probe, replay, save_and_wait
from demo.prepared import PreparedData
from demo.report import Report, Stage, latency
from recloop.bundles import Alias
from recloop.clock import day_start, format_time
from recloop.commands import module
from recloop.errors import ComponentUnavailable
from recloop.settings import Environment, Port, Settings

SWAP_SECONDS = 60
CHECK_SECONDS = 0.05


@dataclass
class Demo:
    """What the steps share."""

    settings: Settings
    console: Console
    report: Report
    airflow: Airflow
    registry: Registry
    api: Api

    @classmethod
    def build(cls, settings: Settings, console: Console, report: Report) -> Demo:
        """Make the clients; nothing is asked yet."""
        return cls(settings, console, report, Airflow(settings), Registry(settings, Alias.CHAMPION), Api(settings))

    def say(self, sentence: str) -> None:
        """Print a plain sentence."""
        self.console.print(f"[bold]▸[/bold] {sentence}", highlight=False)

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[Any]:
        """Show a progress bar, or a spinner where the end is not known; yields (progress, task)."""
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        with Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True) as progress:
            yield progress, progress.add_task(what, total=total)

    def dag(self, dag_id: str, conf: dict[str, Any]) -> list[TaskResult]:
        """Run a DAG through Airflow's REST API and add its stages to the report."""
        run_id = self.airflow.trigger(dag_id, conf)
        try:
            with self.bar(dag_id, None) as (progress, task):
                return self.airflow.wait(
                    dag_id,
                    run_id,
                    lambda running: progress.update(task, description=f"{dag_id}: {running or 'queued'}"),
                )
        finally:
            self.report.add_tasks(dag_id, self.airflow.results(dag_id, run_id))


def start_stack(demo: Demo) -> None:
    """Start every component, or find it running."""
    demo.say("Starting Kafka, Redis, PostgreSQL, MLflow, Airflow, the streaming job and serving; logs in var/log/.")
    done = subprocess.run(module(Environment.CORE, "stack.up"), check=False)
    if done.returncode != 0:
        raise ComponentUnavailable("the stack did not start; the message above says why.")


def ingest_history(demo: Demo, data: PreparedData) -> None:
    """Land, clean and label the history, then compute its features: through the DAGs."""
    demo.say(f"Ingesting {data.facts['history']['events']:,} events of history through the DAG ingest_hourly.")
    conf = {"files": str(data.history), "start": format_time(data.first), "end": format_time(data.live_first)}
    demo.dag("ingest_hourly", conf)
    compute_features(demo, data.first)


def compute_features(demo: Demo, start: datetime) -> None:
    """Compute and materialise the features of every whole day since `start`."""
    first, today = day_start(start.date()), day_start(datetime.now(UTC).date())
    if first >= today:
        demo.say("There is no whole day to compute batch features of yet; the stream's features serve alone.")
        return
    demo.say("Computing batch features and copying them to the online store through the DAG features_daily.")
    # The log was moved in time: its rows count as made when a daily run would have made them.
    demo.dag("features_daily", {"start": format_time(first), "end": format_time(today), "as_scheduled": True})


def train(demo: Demo, until: datetime, *, epochs: int) -> str:
    """Train, evaluate, register and gate through the DAG train_model; return the registered version.

    A gate that refuses is no failure of the demo: it is said, and kept in the report.
    """
    demo.say("Training collaborative filtering, the transformer and LightGBM through the DAG train_model.")
    conf = {"until": format_time(until), "epochs": epochs, "promote": True}
    run_id = demo.airflow.trigger("train_model", conf)
    try:
        with demo.bar("train_model", None) as (progress, task):
            demo.airflow.wait(
                "train_model", run_id, lambda running: progress.update(task, description=f"train_model: {running}")
            )
        refused = None
    except DagRunFailed as failure:
        if failure.task_id != "promote":
            raise
        refused = str(failure)
    results = {result.task_id: result for result in demo.airflow.results("train_model", run_id)}
    demo.report.add_tasks("train_model", list(results.values()))
    version = str(results["register"].value["version"])
    _judge(demo, version, results["train"].value["offline"], refused)
    return version


def _judge(demo: Demo, version: str, offline: dict[str, Any], refused: str | None) -> None:
    if refused is None:
        demo.report.offline = {"champion": offline["model"], "popularity": offline["popularity"],
                               "ndcg_difference_interval": offline["ndcg_difference_interval"]}  # fmt: skip
        demo.report.gate.append(f"version {version} passed")
        demo.say(f"Version {version} passed the gate.")
        return
    demo.report.gate.append(f"version {version} refused")
    demo.say(f"The gate refused version {version}: {refused}")
    demo.report.offline = demo.report.offline or {
        "champion": offline["model"],
        "popularity": offline["popularity"],
        "ndcg_difference_interval": offline["ndcg_difference_interval"],
    }


def wait_until_serving(demo: Demo, version: str) -> float:
    """Wait until serving answers with a version; return the seconds it took.

    Raises:
        ComponentUnavailable: it does not within SWAP_SECONDS.
    """
    for gone in attempts(SWAP_SECONDS, every=CHECK_SECONDS):
        if demo.api.serving_version() == version:
            return gone
    raise ComponentUnavailable(f"serving did not swap to version {version}; GET /v1/release says what it refused.")


def move_alias(demo: Demo, version: str) -> float:
    """Point the alias at a version and wait for serving; return the seconds between."""
    demo.registry.move(version)
    return round(wait_until_serving(demo, version), 2)


class SwapWatch:
    """Times the swap that a DAG sets off: from the alias's move to serving's new version; use as a context."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        # Clients of its own: the demo's are in use by the thread that waits for the DAG.
        self._registry, self._api = Registry(demo.settings, Alias.CHAMPION), Api(demo.settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seconds: float | None = None

    def __enter__(self) -> SwapWatch:
        self._before = self._registry.version()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        version = self._before
        while version == self._before and not self._stop.wait(CHECK_SECONDS):
            version = self._registry.version()
        started = time.monotonic()
        while version != self._before and time.monotonic() - started < SWAP_SECONDS:
            if self._api.serving_version() == version:
                self.seconds = round(time.monotonic() - started, 2)
                return
            time.sleep(CHECK_SECONDS)


def replay_live(demo: Demo, data: PreparedData) -> None:
    """Replay the newest part of the log through the API and wait for the stream."""
    events = data.live_events()
    demo.say(f"Replaying the newest {len(events):,} events live: POST /v1/events → Kafka → Flink → Feast.")
    with demo.bar("replay", len(events)) as (progress, task):
        seconds = replay(demo.api, events, lambda n: progress.advance(task, n))
    demo.report.stages.append(Stage("live replay", len(events), len(events), round(seconds, 2), None))


def show_one_user(demo: Demo, data: PreparedData) -> None:
    """Show a real user's slate, let the user save three items of one category, and show it again."""
    items = data.items()
    user_id = choose_user(data.live_events())
    before = demo.api.slate(user_id)
    genre, saves = choose_saves(before, items)
    after, milliseconds = save_and_wait(demo.api, user_id, saves)
    titles = ", ".join(_title(items, item_id) for item_id in saves)
    _show_slate(demo, f"The slate of user {user_id}, served by {before['served_by']}", before, items)
    demo.say(f"User {user_id} saves three items{f' of {genre}' if genre else ''}: {titles}.")
    _show_slate(demo, f"The slate {milliseconds:.0f} ms later", after, items)


def _show_slate(demo: Demo, title: str, slate: dict[str, Any], items: dict[str, dict[str, Any]]) -> None:
    demo.console.print(f"  {title}:", highlight=False)
    for item in slate["items"]:
        categories = ", ".join(items.get(item["item_id"], {}).get("categories", []))
        name = _title(items, item["item_id"])
        demo.console.print(f"    {item['position'] + 1:2}. {name} ({categories}) by {item['source']}", highlight=False)


def _title(items: dict[str, dict[str, Any]], item_id: str) -> str:
    return items.get(item_id, {}).get("title") or f"item {item_id}"


def measure_freshness(demo: Demo, n: int) -> None:
    """Time events to changed slates."""
    demo.say(f"Timing {n} events to their changed slates.")
    with demo.bar("probes", n) as (progress, task):
        times = probe(demo.api, n, lambda done: progress.advance(task, done))
    demo.report.event_to_slate_ms = latency(times)


def ingest_live(demo: Demo, data: PreparedData, started: datetime) -> None:
    """Land, clean and label what came in through the topic, and compute the features of its days."""
    demo.say("Ingesting what came in from the topic, and its features.")
    end = datetime.now(UTC) + timedelta(seconds=1)
    demo.dag("ingest_hourly", {"start": format_time(started), "end": format_time(end)})
    compute_features(demo, data.live_first)


def roll_back_and_forward(demo: Demo, old: str, new: str) -> None:
    """Move the alias back and forward again by hand."""
    demo.say(f"Rolling back to version {old} by moving the alias, and forward to {new} again.")
    demo.report.rollback_seconds = move_alias(demo, old)
    demo.report.forward_seconds = move_alias(demo, new)


def addresses(settings: Settings) -> dict[str, str]:
    """Return the pages of the stack and how to log in."""
    return {
        "API docs": f"{settings.serving}/docs",
        "Airflow UI": f"{settings.airflow} (user {settings.airflow_user}, password: RECLOOP_AIRFLOW_PASSWORD "
        "in var/recloop.env)",
        "MLflow UI": settings.mlflow,
        "Flink UI": f"http://{settings.address(Port.FLINK)}",
    }
