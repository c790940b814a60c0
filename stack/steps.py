"""What is done once around a component's start: data folders, databases, topics, the feature registry.

`before` runs when what the component requires is healthy, `after` when the component itself is.
Each step is skipped where it has been done.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from recloop.commands import module
from recloop.errors import ComponentUnavailable
from recloop.settings import Database, Environment, Port, Settings
from stack.airflow import create_gpu_pool, migrate_database, write_login
from stack.kafka import create_topics, prepare_broker
from stack.places import PROJECT_DIR, digest, is_done, mark_done
from stack.postgres import find_postgres, initialise
from stack.supervision import stack_environment, write_private

Step = Callable[[Settings], None]


def before(name: str, settings: Settings) -> None:
    """Do what a component needs before it starts."""
    if step := _BEFORE.get(name):
        step(settings)


def after(name: str, settings: Settings) -> None:
    """Do what the others need of a component once it answers."""
    if step := _AFTER.get(name):
        step(settings)


def _prepare_postgres(settings: Settings) -> None:
    data = settings.var_dir / "postgres"
    if not data.exists():
        password = settings.postgres_password.get_secret_value()
        initialise(find_postgres(), data, user=settings.postgres_user, password=password)


def _create_databases(settings: Settings) -> None:
    import psycopg2

    connection = psycopg2.connect(settings.postgres_url(Database.LAKE, "postgresql").rpartition("/")[0] + "/postgres")
    # CREATE DATABASE does not run inside a transaction.
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            existing = {name for (name,) in cursor.fetchall()}
            for database in Database:
                if database not in existing:
                    cursor.execute(f'CREATE DATABASE "{database}"')
    finally:
        connection.close()


def _prepare_redis(settings: Settings) -> None:
    folder = settings.var_dir / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    write_private(folder / "redis.conf", redis_config(settings))


def redis_config(settings: Settings) -> str:
    """Return the server's configuration: a password, an append-only file, no eviction (it is a store, not a cache)."""
    options = {
        "bind": settings.host,
        "port": settings.port(Port.REDIS),
        "requirepass": settings.redis_password.get_secret_value(),
        "dir": f'"{settings.var_dir / "redis"}"',
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory": "512mb",
        "maxmemory-policy": "noeviction",
        # A new title would overwrite the environment by which the stack knows its processes.
        "set-proc-title": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in options.items())


def _prepare_mlflow(settings: Settings) -> None:
    (settings.var_dir / "mlflow").mkdir(parents=True, exist_ok=True)


def _prepare_airflow(settings: Settings) -> None:
    write_login(settings)
    migrate_database(settings)


def _apply_features(settings: Settings) -> None:
    """Bring Feast's registry to the definitions in the code, once per version of them."""
    kernel = [PROJECT_DIR / "recloop" / name for name in ("features.py", "tables.py")]
    stamp = settings.var_dir / "stamps" / "feature-registry"
    wanted = digest([*sorted((PROJECT_DIR / "feature_repo").glob("*.*")), *kernel])
    if is_done(stamp, wanted):
        return
    print("Applying the feature definitions to Feast's registry.", flush=True)
    done = subprocess.run(
        module(Environment.CORE, "jobs.etl.apply_features"),
        env=os.environ | stack_environment(settings),
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ComponentUnavailable(f"the feature definitions cannot be applied:\n{done.stdout[-2000:].strip()}")
    mark_done(stamp, wanted)


_BEFORE: dict[str, Step] = {
    "postgres": _prepare_postgres,
    "redis": _prepare_redis,
    "kafka": prepare_broker,
    "mlflow": _prepare_mlflow,
    "airflow-api": _prepare_airflow,
    "streaming": _apply_features,
    "serving": _apply_features,
}
_AFTER: dict[str, Step] = {
    "postgres": _create_databases,
    "kafka": create_topics,
    "airflow-api": create_gpu_pool,
}
