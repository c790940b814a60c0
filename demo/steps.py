"""The demo's steps, in order; each says in a plain sentence what it does and shows how far it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from demo.clients import Airflow, Api, DagRunFailed, Registry, TaskResult
from demo.live import choose_saves, choose_user, count_categories, probe, replay, save_and_wait
from demo.memory import stack_memory_mb
from demo.prepared import PreparedData
from demo.report import Report, Stage, latency
from demo.swap import move_alias
from recloop.bundles import Alias
from recloop.clock import day_start, format_time
from recloop.commands import module
from recloop.errors import ComponentUnavailable
from recloop.settings import ENV_FILE, PROJECT_DIR, Environment, Port, Settings

SLATE_LENGTH, LONG_LIST = 10, 100
GATE = "PromotionRefused"
"""Name of the error with which the gate refuses: any other failure of its task is one of the demo."""


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
        self.console.print("▸", style="bold", end=" ")
        self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[Any]:
        """Show a progress bar, or a spinner where the end is not known; yields (progress, task)."""
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        options: dict[str, Any] = {"transient": True, "disable": not self.console.is_terminal}
        with Progress(*columns, TimeElapsedColumn(), console=self.console, **options) as progress:
            yield progress, progress.add_task(what, total=total)

    def dag(self, dag_id: str, conf: dict[str, Any]) -> dict[str, TaskResult]:
        """Run a DAG through Airflow's REST API, add its stages to the report, return its tasks by id.

        Raises:
            DagRunFailed: a task failed; the stages before it are in the report.
        """
        run_id = self.airflow.trigger(dag_id, conf)
        with self.bar(dag_id, None) as (progress, task):
            try:
                results = self.airflow.wait(
                    dag_id,
                    run_id,
                    lambda running: progress.update(task, description=f"{dag_id}: {running or 'queued'}"),
                )
            except DagRunFailed as failure:
                self.report.add_tasks(dag_id, failure.results)
                raise
        self.report.add_tasks(dag_id, results)
        return {result.task_id: result for result in results}


def start_stack(demo: Demo) -> None:
    """Start every component, or find it running."""
    logs = demo.settings.var_dir / "log"
    demo.say(f"Starting Kafka, Redis, PostgreSQL, MLflow, Airflow, the streaming job and serving; logs in {logs}.")
    done = subprocess.run(module(Environment.CORE, "stack.up"), cwd=PROJECT_DIR, check=False)
    if done.returncode != 0:
        raise ComponentUnavailable("the stack did not start; the message above says why.")


def show_data(demo: Demo, data: PreparedData) -> None:
    """Say what the data is, how much of it there is, and under what terms it may be used."""
    facts = data.facts
    demo.report.data_facts = {name: value for name, value in facts.items() if name != "terms"}
    n_events = facts["history"]["events"] + facts["live"]["events"]
    demo.say(f"{facts['name']}: {n_events:,} events of {facts['users']:,} users, {facts['items']:,} items.")
    if facts["malformed"] or facts["repeated"]:
        demo.say(
            f"Beside them {facts['malformed']:,} malformed events, to be rejected with a reason, and "
            f"{facts['repeated']:,} repeated ones, counted once."
        )
    demo.say(f"Terms: {facts['terms']}")


def first_model(demo: Demo, data: PreparedData) -> str | None:
    """Return the champion that an earlier run of the demo left with its history ingested; None on the first run."""
    version = demo.registry.version() if data.is_ingested else None
    if version is not None:
        demo.say(f"An earlier run ingested the history and left version {version} as champion: going on from there.")
    return version


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


def train(demo: Demo, until: datetime, *, form: dict[str, Any]) -> str:
    """Train, evaluate, register and gate through the DAG train_model; `form` is filled in; return the version.

    A gate that refuses is no failure of the demo: it is said, and kept in the report.
    """
    demo.say("Training collaborative filtering, the transformer and LightGBM through the DAG train_model.")
    refused = None
    try:
        results = demo.dag("train_model", {"until": format_time(until), "promote": True, **form})
    except DagRunFailed as failure:
        if failure.task_id != "promote" or GATE not in str(failure):
            raise
        results = {result.task_id: result for result in failure.results}
        refused = str(failure)
    version = str(results["register"].require("version"))
    _judge(demo, version, results["train"].require("offline"), refused)
    return version


def _judge(demo: Demo, version: str, offline: dict[str, Any], refused: str | None) -> None:
    demo.report.gate.append(f"version {version} {'refused' if refused else 'passed'}")
    demo.say(f"The gate refused version {version}: {refused}" if refused else f"Version {version} passed the gate.")
    if "note" not in offline and (refused is None or not demo.report.offline):
        demo.report.offline = {
            "champion": offline["model"],
            "popularity": offline["popularity"],
            "ndcg_difference_interval": offline["ndcg_difference_interval"],
        }


def replay_live(demo: Demo, data: PreparedData) -> None:
    """Replay the newest part of the log through the API and wait for the stream."""
    events = data.live_events()
    demo.say(f"Replaying the newest {len(events):,} events live: POST /v1/events → Kafka → Flink → Feast.")
    with demo.bar("replay", len(events)) as (progress, task):
        seconds = replay(demo.api, events, lambda n: progress.advance(task, n))
    memory_mb = stack_memory_mb(demo.settings.var_dir)
    demo.report.stages.append(Stage("live replay", len(events), len(events), round(seconds, 2), memory_mb))


def show_one_user(demo: Demo, data: PreparedData) -> None:
    """Show a real user's slate, let the user save three items of one category, and show it again."""
    items = data.items()
    categories = {item_id: item.get("categories", []) for item_id, item in items.items()}
    user_id = choose_user(demo.api, data.live_events())
    before = demo.api.slate(user_id, k=SLATE_LENGTH)
    genre, saves = choose_saves(demo.api.slate(user_id, k=LONG_LIST)["items"], categories, k=SLATE_LENGTH)
    after, milliseconds = save_and_wait(demo.api, user_id, saves)
    show_slate(demo, f"The slate of user {user_id}, served by {before['served_by']}", before, items)
    titles = ", ".join(_title(items, item_id) for item_id in saves)
    demo.say(f"User {user_id} saves three items{f' of {genre}' if genre else ''}: {titles}.")
    show_slate(demo, f"The slate {milliseconds:.0f} ms later, served by {after['served_by']}", after, items)
    if genre:
        counts = [
            count_categories([item["item_id"] for item in slate["items"]], categories)[genre]
            for slate in (before, after)
        ]
        demo.say(f"{genre} holds {counts[0]} of its {SLATE_LENGTH} places before and {counts[1]} after.")


def show_slate(demo: Demo, title: str, slate: dict[str, Any], items: dict[str, dict[str, Any]]) -> None:
    """Print a slate, one item a line."""
    demo.console.print(f"  {title}:", highlight=False)
    for item in slate["items"]:
        categories = ", ".join(items.get(item["item_id"], {}).get("categories", []))
        line = f"    {item['position'] + 1:2}. {_title(items, item['item_id'])} ({categories}) by {item['source']}"
        # Titles are other people's text: brackets in them are no markup.
        demo.console.print(line, highlight=False, markup=False)


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
    demo.report.rollback_seconds = move_alias(demo.registry, demo.api, old)
    demo.report.forward_seconds = move_alias(demo.registry, demo.api, new)


def addresses(settings: Settings) -> dict[str, str]:
    """Return the pages of the stack and how to log in."""
    return {
        "API docs": f"{settings.serving}/docs",
        "Airflow UI": f"{settings.airflow} (user {settings.airflow_user}, password: RECLOOP_AIRFLOW_PASSWORD in "
        f"{os.environ.get('RECLOOP_ENV_FILE', ENV_FILE)})",
        "MLflow UI": settings.mlflow,
        "Flink UI": f"http://{settings.address(Port.FLINK)}",
    }
