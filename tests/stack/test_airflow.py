"""Airflow's environment, its login, its pool; the components themselves on the real stack."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable

import httpx
import pytest

from recloop.settings import PROJECT_DIR, Settings
from stack.airflow import GPU_POOL, airflow_environment, airflow_home, create_gpu_pool, write_login
from stack.health import probe


def test_environment_names_the_dags_the_database_and_the_executor(settings: Settings) -> None:
    found = airflow_environment(settings)
    assert found["AIRFLOW__CORE__DAGS_FOLDER"] == str(PROJECT_DIR / "dags")
    assert found["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == (
        "postgresql+psycopg2://recloop:hush-postgres@127.0.0.1:20001/airflow"
    )
    # DAGs import `orchestration` by its folder.
    assert found["PYTHONPATH"] == str(PROJECT_DIR)


def test_tasks_reach_the_api_server_where_it_listens(settings: Settings) -> None:
    found = airflow_environment(settings)
    assert found["AIRFLOW__API__PORT"] == "20006"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:20006/execution/"


def test_login_is_written_for_the_owner_only(settings: Settings) -> None:
    write_login(settings)
    file = airflow_home(settings) / "passwords.json"
    assert json.loads(file.read_text()) == {"admin": "hush-login"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.stack
def test_airflow_answers_knows_its_login_and_has_the_pool(
    empty_stack: Settings, start_components: Callable[..., None]
) -> None:
    names = ("airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
    start_components(*names)
    assert [probe(empty_stack, name) for name in ("airflow-api", *names)] == [None] * 4
    create_gpu_pool(empty_stack)  # again: it is there already
    credentials = {"username": "admin", "password": empty_stack.airflow_password.get_secret_value()}
    with httpx.Client(base_url=empty_stack.airflow) as client:
        assert client.get(f"/api/v2/pools/{GPU_POOL}").status_code == httpx.codes.UNAUTHORIZED
        token = client.post("/auth/token", json=credentials).raise_for_status().json()["access_token"]
        pool = client.get(f"/api/v2/pools/{GPU_POOL}", headers={"Authorization": f"Bearer {token}"}).json()
    assert pool["slots"] == 1
