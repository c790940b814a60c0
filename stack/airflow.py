"""What Airflow's four components share: their environment, the login, the metadata database, the pool of the GPU."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx

from recloop.commands import python
from recloop.errors import ComponentUnavailable
from recloop.settings import Database, Environment, Port, Settings
from stack.places import PROJECT_DIR, REQUIREMENTS_DIR, digest, is_done, mark_done

GPU_POOL = "gpu"
# Two tasks at once are what two cores and 6 GB carry: each may be a Spark driver.
PARALLEL_TASKS = 2


def airflow_home(settings: Settings) -> Path:
    """Return the folder of Airflow's own files."""
    return settings.var_dir / "airflow"


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of every Airflow process."""
    url = f"http://{settings.address(Port.AIRFLOW)}"
    secret = settings.airflow_secret.get_secret_value()
    core = {
        "DAGS_FOLDER": str(PROJECT_DIR / "dags"),
        "LOAD_EXAMPLES": "False",
        "EXECUTOR": "LocalExecutor",
        "PARALLELISM": str(PARALLEL_TASKS),
        "DAGS_ARE_PAUSED_AT_CREATION": "False",
        "FERNET_KEY": settings.airflow_fernet_key.get_secret_value(),
        "SIMPLE_AUTH_MANAGER_USERS": f"{settings.airflow_user}:admin",
        "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow_home(settings) / "passwords.json"),
        "EXECUTION_API_SERVER_URL": f"{url}/execution/",
    }
    api = {
        "HOST": settings.host,
        "PORT": str(settings.port(Port.AIRFLOW)),
        "BASE_URL": url,
        "WORKERS": "1",
        "SECRET_KEY": secret,
    }
    sections = {
        "CORE": core,
        "API": api,
        "API_AUTH": {"JWT_SECRET": secret},
        "DATABASE": {"SQL_ALCHEMY_CONN": settings.postgres_url(Database.AIRFLOW)},
        "DAG_PROCESSOR": {"PARSING_PROCESSES": "1", "REFRESH_INTERVAL": "10"},
        # The api-server builds the tasks' API at the first call: on a busy machine that outlasts five tries of 5 s,
        # and the first task of a new stack would fail for nothing.
        "WORKERS": {"EXECUTION_API_TIMEOUT": "60"},
        "LOGGING": {"BASE_LOG_FOLDER": str(settings.var_dir / "log" / "airflow")},
    }
    named = {f"AIRFLOW__{section}__{key}": value for section, keys in sections.items() for key, value in keys.items()}
    # DAGs and the triggerer import `orchestration`, which is no installed package.
    return {"AIRFLOW_HOME": str(airflow_home(settings)), "PYTHONPATH": str(PROJECT_DIR), **named}


def write_login(settings: Settings) -> None:
    """Write the login's password before the start: else Airflow makes one up and prints it to the log."""
    path = Path(airflow_environment(settings)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({settings.airflow_user: settings.airflow_password.get_secret_value()}))


def migrate_database(settings: Settings) -> None:
    """Bring the metadata database to this version of Airflow; once per version."""
    stamp = settings.var_dir / "stamps" / "airflow-database"
    wanted = digest([REQUIREMENTS_DIR / "orchestration.txt"])
    if is_done(stamp, wanted):
        return
    print("Preparing Airflow's database.", flush=True)
    done = subprocess.run(
        [python(Environment.ORCHESTRATION), "-m", "airflow", "db", "migrate"],
        env=os.environ | airflow_environment(settings),
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ComponentUnavailable(f"`airflow db migrate` failed:\n{done.stdout[-2000:].strip()}")
    mark_done(stamp, wanted)


def create_gpu_pool(settings: Settings) -> None:
    """Create the pool with one slot, in which trainings wait for each other."""
    with httpx.Client(base_url=settings.airflow, timeout=30) as client:
        password = settings.airflow_password.get_secret_value()
        login = client.post("/auth/token", json={"username": settings.airflow_user, "password": password})
        login.raise_for_status()
        client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        pool = {"name": GPU_POOL, "slots": 1, "description": "one training at a time"}
        answer = client.post("/api/v2/pools", json=pool)
        if answer.status_code != httpx.codes.CONFLICT:  # it is there already
            answer.raise_for_status()
