"""The three doors of the stack: Airflow's REST API, the MLflow registry, the recommendation API."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from recloop.clock import SystemClock, format_time
from recloop.errors import ComponentUnavailable, RecloopError
from recloop.settings import Settings

FINAL_STATES = {"success", "failed"}
POLL_SECONDS = 1.0
DAG_READ_SECONDS = 120
MORE_TRIES = 4
ERROR_LINE = re.compile(r"[\w.]*[A-Z]\w+(Error|Refused|Failed|Tampered|Incompatible|Unavailable|Exception): ")
LOG_LINE = re.compile(r"\d+[-/]\d+")
"""Begins with a date: a log's line, such as a JVM's farewell, not an error's."""


class DagRunFailed(RecloopError):
    """A DAG run ended red; the message names the task and where its log is."""

    def __init__(self, message: str, *, task_id: str, results: Sequence[TaskResult]) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.results = list(results)


@dataclass(frozen=True)
class TaskResult:
    """One finished task: its state and the object it ended its output with."""

    task_id: str
    state: str
    value: dict[str, Any]

    def require(self, key: str) -> Any:
        """Return a part of the object.

        Raises:
            ComponentUnavailable: the task did not say it.
        """
        if key not in self.value:
            raise ComponentUnavailable(
                f"task {self.task_id} ({self.state}) ended without {key!r}; it said {self.value}. Look at its log."
            )
        return self.value[key]


class Airflow:
    """Triggers DAG runs and waits for them."""

    def __init__(self, settings: Settings) -> None:
        self._client = httpx.Client(base_url=settings.airflow, timeout=30)
        self._login = {"username": settings.airflow_user, "password": settings.airflow_password.get_secret_value()}
        self._log_folder = settings.var_dir / "log" / "airflow"

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run by hand; return its id. Waits until Airflow has read the DAG.

        Raises:
            ComponentUnavailable: Airflow does not know the DAG, or refuses its form's values.
        """
        # The id is ours, so that asking again after a silence starts no second run.
        run_id = f"demo__{format_time(SystemClock().now())}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        for _ in attempts(DAG_READ_SECONDS):
            answer = self._request("POST", f"/dags/{dag_id}/dagRuns", body)
            if answer.status_code != httpx.codes.NOT_FOUND:
                break
        if not answer.is_success and answer.status_code != httpx.codes.CONFLICT:
            raise ComponentUnavailable(f"Airflow did not start {dag_id} ({answer.status_code}): {answer.text[:400]}")
        return run_id

    def wait(self, dag_id: str, run_id: str, progress: Callable[[str], None]) -> list[TaskResult]:
        """Wait for the end of a run; call `progress` with the running task; return what succeeded, first ended first.

        Raises:
            DagRunFailed: a task failed; it carries what succeeded before.
        """
        while True:
            state = self._get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            tasks = self._get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
            progress(", ".join(task["task_id"] for task in tasks if task["state"] == "running"))
            if state in FINAL_STATES:
                break
            time.sleep(POLL_SECONDS)
        ended = sorted(tasks, key=lambda task: task["end_date"] or "")
        results = [self._result(dag_id, run_id, task) for task in ended if task["state"] == "success"]
        failed = [task["task_id"] for task in ended if task["state"] == "failed"]
        if state == "failed":
            message = self._failure(dag_id, run_id, failed)
            raise DagRunFailed(message, task_id=failed[0] if failed else "", results=results)
        return results

    def _result(self, dag_id: str, run_id: str, task: dict[str, Any]) -> TaskResult:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/xcomEntries/return_value"
        answer = self._request("GET", f"{path}?deserialize=true")
        value = answer.json().get("value") if answer.status_code == httpx.codes.OK else None
        return TaskResult(task["task_id"], str(task["state"]), value if isinstance(value, dict) else {})

    def _failure(self, dag_id: str, run_id: str, failed: Sequence[str]) -> str:
        folder = self._log_folder / f"dag_id={dag_id}" / f"run_id={run_id}"
        logs = sorted(folder.glob(f"task_id={failed[0]}/*.log")) if failed else []
        reason = error_of(logs[-1]) if logs else "see the run in Airflow's UI"
        return f"{dag_id}: {', '.join(failed) or 'no task'} failed: {reason}\nIts log: {logs[-1] if logs else folder}"

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._request("GET", path)
        answer.raise_for_status()
        return dict(answer.json())

    def _request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = patiently(lambda: self._client.request(method, f"/api/v2{path}", json=body))
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = self._client.post("/auth/token", json=self._login)
            token.raise_for_status()
            self._client.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            answer = patiently(lambda: self._client.request(method, f"/api/v2{path}", json=body))
        return answer


def error_of(log: Path) -> str:
    """Return what a task failed of: out of the last exception in its log, the command's own error."""
    for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            details = json.loads(line).get("error_detail")
        except (ValueError, AttributeError):
            continue
        if details:
            return own_error(str(details[-1]["exc_value"]))
    return "see its log"


def own_error(output: str) -> str:
    """Return the newest line that is an error, with what it says below that; else the last lines of the output.

    >>> own_error("train ended with 1:\\n12:00 INFO reading\\nTrainingError: no rows.\\nIngest more.")
    'TrainingError: no rows. Ingest more.'
    """
    lines = [line for line in output.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if ERROR_LINE.match(line)]
    chosen = lines[starts[-1] :][:3] if starts else lines[-3:]
    return " ".join(line for line in chosen if not LOG_LINE.match(line))[:800]


class Registry:
    """Reads and moves the alias of the registered model."""

    def __init__(self, settings: Settings, alias: str) -> None:
        self._client = httpx.Client(base_url=f"{settings.mlflow}/api/2.0/mlflow/registered-models/", timeout=30)
        self._name = {"name": settings.model_name, "alias": alias}

    def version(self) -> str | None:
        """Return the version the alias points at; None when there is none."""
        answer = patiently(lambda: self._client.get("alias", params=self._name))
        # Without the model MLflow answers 404; with the model and without the alias 400, as for malformed questions.
        no_alias = answer.status_code == httpx.codes.BAD_REQUEST and "not found" in answer.text
        if answer.status_code == httpx.codes.NOT_FOUND or no_alias:
            return None
        answer.raise_for_status()
        return str(answer.json()["model_version"]["version"])

    def move(self, version: str) -> None:
        """Point the alias at another version."""
        patiently(lambda: self._client.post("alias", json={**self._name, "version": version})).raise_for_status()


class Api:
    """The recommendation API."""

    def __init__(self, settings: Settings) -> None:
        self._client = httpx.Client(base_url=settings.serving, timeout=10)

    def send(self, events: Sequence[dict[str, Any]]) -> None:
        """Send events; returns when Kafka has them."""
        answer = self._client.post("/v1/events", json=list(events))
        if answer.status_code != httpx.codes.ACCEPTED:
            raise ComponentUnavailable(f"POST /v1/events answered {answer.status_code}: {answer.text[:400]}")

    def slate(self, user_id: str, *, k: int = 10, exclude: Sequence[str] = ()) -> dict[str, Any]:
        """Return a slate without exploration's dice: the same seed each time."""
        body = {"user_id": user_id, "k": k, "seed": 1, "exclude": list(exclude)}
        answer = self._client.post("/v1/recommendations", json=body)
        if answer.status_code != httpx.codes.OK:
            raise ComponentUnavailable(f"POST /v1/recommendations answered {answer.status_code}: {answer.text[:400]}")
        return dict(answer.json())

    def serving_version(self) -> str | None:
        """Return the model version that answers."""
        answer = self._client.get("/v1/release")
        answer.raise_for_status()
        version = answer.json()["version"]
        return None if version is None else str(version)


def patiently(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask a question that may be asked twice; a busy machine's silence is not yet an answer."""
    for _ in range(MORE_TRIES):
        try:
            return ask()
        except httpx.TransportError:
            time.sleep(POLL_SECONDS)
    return ask()


@contextmanager
def answering() -> Iterator[None]:
    """Turn a component that does not answer, or answers with an error, into one message.

    Raises:
        ComponentUnavailable: with the address that was asked.
    """
    try:
        yield
    except httpx.HTTPStatusError as error:
        answer = error.response
        raise ComponentUnavailable(
            f"{error.request.url} answered {answer.status_code}: {answer.text[:400]} See `make status` and its log."
        ) from error
    except httpx.RequestError as error:
        raise ComponentUnavailable(
            f"{error.request.url} does not answer: {error}. See `make status` and the log it names."
        ) from error


def attempts(seconds: float, *, every: float = POLL_SECONDS) -> Iterator[float]:
    """Yield the seconds gone, again and again until the time is over."""
    started = time.monotonic()
    while (gone := time.monotonic() - started) < seconds:
        yield gone
        time.sleep(every)
