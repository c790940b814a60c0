"""The DAGs as a real scheduler, dag processor and triggerer run them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from recloop import commands
from recloop.clock import parse_time
from recloop.settings import Settings
from tests.conftest import StartComponents

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PATIENCE_SECONDS = 180


@pytest.fixture(scope="module")
def airflow(mlflow_stack: Settings, start_components: StartComponents) -> Iterator[httpx.Client]:
    """A client of Airflow's REST API that is logged in, once every DAG was read."""
    start_components("airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
    login = {"username": mlflow_stack.airflow_user, "password": mlflow_stack.airflow_password.get_secret_value()}
    with httpx.Client(base_url=mlflow_stack.airflow, timeout=PATIENCE_SECONDS) as client:
        token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        eventually(lambda: len(get(client, "dags")["dags"]) == 4)
        yield client


def get(client: httpx.Client, path: str) -> dict[str, Any]:
    return dict(client.get(f"/api/v2/{path}").raise_for_status().json())


def eventually(look: Callable[[], Any]) -> Any:
    """Return what `look` finds, asking until it is true."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < until, f"not within {PATIENCE_SECONDS} s"
        time.sleep(0.5)
    return found


def tasks(client: httpx.Client, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = get(client, f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances")["task_instances"]
    return {task["task_id"]: task for task in found}


def running(name: str, settings: Settings) -> list[str]:
    """Return the processes of this stack whose command line has a name."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if name.encode() in command and f"RECLOOP_VAR_DIR={settings.var_dir}".encode() in environment:
            found.append(process.name)
    return found


def test_new_stack_runs_nothing_that_is_past(airflow: httpx.Client) -> None:
    started = datetime.now(UTC)
    dags = {dag["dag_id"]: dag for dag in get(airflow, "dags")["dags"]}
    assert get(airflow, "importErrors")["import_errors"] == []
    for dag_id in ("ingest_hourly", "features_daily", "train_model"):
        following = parse_time(dags[dag_id]["next_dagrun_run_after"])
        assert started - timedelta(minutes=2) < following < started + timedelta(days=4, minutes=1)
    runs = [run for dag_id in dags for run in get(airflow, f"dags/{dag_id}/dagRuns")["dag_runs"]]
    # One may be there rightly: that of a tick that came while the stack started.
    assert [run for run in runs if started - parse_time(run["run_after"]) > timedelta(minutes=5)] == []


def test_moved_alias_sets_off_a_release_of_that_version(airflow: httpx.Client, mlflow_stack: Settings) -> None:
    registry = httpx.Client(base_url=f"{mlflow_stack.mlflow}/api/2.0/mlflow", timeout=PATIENCE_SECONDS)
    name = mlflow_stack.model_name
    registry.post("/registered-models/create", json={"name": name}).raise_for_status()
    source = {"name": name, "source": "s3://bucket/nowhere"}
    version = registry.post("/model-versions/create", json=source).raise_for_status().json()["model_version"]["version"]
    move = {"name": name, "alias": "champion", "version": version}
    registry.post("/registered-models/alias", json=move).raise_for_status()
    [run] = eventually(lambda: get(airflow, "dags/promote_model/dagRuns")["dag_runs"])
    assert run["run_type"] == "asset_triggered"
    argv = eventually(lambda: tasks(airflow, run)["release_model"]["rendered_fields"].get("argv"))
    assert argv == commands.release_model(version=str(version))
    eventually(lambda: running("serving.release_client", mlflow_stack))
    # Nothing serves here, so the release waits; marked as failed in the UI, its command must not outlive it.
    airflow.patch(
        f"/api/v2/dags/promote_model/dagRuns/{run['dag_run_id']}", json={"state": "failed"}
    ).raise_for_status()
    eventually(lambda: not running("serving.release_client", mlflow_stack))


def test_failed_task_is_not_tried_again_where_that_is_vain_and_is_alerted(
    airflow: httpx.Client, mlflow_stack: Settings
) -> None:
    # A release by hand that names no version.
    answer = airflow.post("/api/v2/dags/promote_model/dagRuns", json={"logical_date": None, "conf": {}})
    run = answer.raise_for_status().json()
    eventually(lambda: tasks(airflow, run)["release_model"]["state"] == "failed")
    assert tasks(airflow, run)["release_model"]["try_number"] == 1
    alerts = (mlflow_stack.var_dir / "log" / "alerts.jsonl").read_text().splitlines()
    [alert] = [line for line in map(json.loads, alerts) if line["run"] == run["dag_run_id"]]
    assert (alert["dag"], alert["task"]) == ("promote_model", "release_model")
    assert "trigger it with a version" in alert["reason"]


@pytest.mark.parametrize(
    "conf",
    [{"epochs": -1}, {"device": "tpu"}, {"ranker": "maybe"}, {"until": "yesterday"}, {"promote": "maybe"}],
    ids=str,
)
def test_form_refuses_what_makes_no_sense(airflow: httpx.Client, conf: dict[str, Any]) -> None:
    answer = airflow.post("/api/v2/dags/train_model/dagRuns", json={"logical_date": None, "conf": conf})
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert next(iter(conf)) in answer.text
