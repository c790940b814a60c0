"""The components of the stack: how each is started, what it needs first, where it listens.

In: Settings. Out: a list of Component, in the order in which they start. Nothing is started or written here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from recloop.commands import module, python
from recloop.errors import ConfigurationError
from recloop.settings import Database, Environment, Port, Settings
from stack.airflow import airflow_environment
from stack.environments import site_packages
from stack.kafka import broker_argv
from stack.places import PROJECT_DIR
from stack.postgres import as_allowed_user, find_postgres
from stack.redis import find_redis


@dataclass(frozen=True)
class Component:
    """One process under supervision, with what it starts itself.

    `requires` names the components that must answer before this one starts.
    """

    name: str
    argv: list[str]
    ports: tuple[Port, ...] = ()
    requires: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def all_components(settings: Settings) -> list[Component]:
    """Return every component in starting order."""
    return [*_servers(settings), _mlflow(settings), *_airflow(settings), *_own(settings)]


def select(components: list[Component], only: Iterable[str]) -> list[Component]:
    """Return the named components and what they require, in starting order; all of them where none is named.

    Raises:
        ConfigurationError: a name is no component's.
    """
    wanted = list(only) or [component.name for component in components]
    by_name = {component.name: component for component in components}
    chosen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in by_name:
            raise ConfigurationError(f"{name!r} is no component; there are {', '.join(by_name)}.")
        if name not in chosen:
            chosen.add(name)
            wanted.extend(by_name[name].requires)
    return [component for component in components if component.name in chosen]


def data_dir(settings: Settings, name: str) -> Path:
    """Return the folder a component keeps its data in."""
    return settings.var_dir / name


def _servers(settings: Settings) -> list[Component]:
    options = {
        "listen_addresses": settings.host,
        "port": str(settings.port(Port.POSTGRES)),
        "unix_socket_directories": "",
        "shared_buffers": "64MB",
        "max_connections": "120",
        "timezone": "UTC",
    }
    pairs = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    server = [str(find_postgres() / "postgres"), "-D", str(data_dir(settings, "postgres")), *pairs]
    return [
        Component("postgres", as_allowed_user(server), (Port.POSTGRES,)),
        Component("redis", [str(find_redis()), str(data_dir(settings, "redis") / "redis.conf")], (Port.REDIS,)),
        Component("kafka", broker_argv(data_dir(settings, "kafka")), (Port.KAFKA, Port.KAFKA_CONTROLLER)),
    ]


def _mlflow(settings: Settings) -> Component:
    listen = ["--host", settings.host, "--port", str(settings.port(Port.MLFLOW))]
    return Component(
        "mlflow",
        [*module(Environment.CORE, "mlflow", ["server", *listen, "--workers", "1"])],
        (Port.MLFLOW,),
        requires=("postgres",),
        environment={
            # In the environment, not in argv, which every user of the machine can read.
            "MLFLOW_BACKEND_STORE_URI": settings.postgres_url(Database.MLFLOW),
            "MLFLOW_ARTIFACTS_DESTINATION": str(data_dir(settings, "mlflow")),
            "MLFLOW_SERVE_ARTIFACTS": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )


def _airflow(settings: Settings) -> list[Component]:
    environment = airflow_environment(settings)
    program = [python(Environment.ORCHESTRATION), "-m", "airflow"]
    roles = {
        "airflow-api": ["api-server"],
        "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": ["dag-processor"],
        "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
    }
    return [
        Component(
            name,
            [*program, *arguments],
            (Port.AIRFLOW,) if name == "airflow-api" else (),
            requires=("postgres",) if name == "airflow-api" else ("airflow-api",),
            environment=environment,
        )
        for name, arguments in roles.items()
    ]


def _own(settings: Settings) -> list[Component]:
    stores = ("postgres", "redis", "kafka")
    stream = module(Environment.STREAMING, "jobs.streaming.update_features")
    # The interpreter inside Flink's JVM does not know the virtual environment around it.
    inside = {"PYTHONPATH": f"{PROJECT_DIR}:{site_packages(Environment.STREAMING)}"}
    # Else PyFlink also starts a server for worker processes, which we have none of, on every address of the machine.
    inside["_python_worker_execution_mode"] = "process"
    return [
        Component("streaming", stream, (Port.FLINK,), requires=stores, environment=inside),
        Component("serving", module(Environment.SERVING, "serving.main"), (Port.SERVING,), requires=stores),
    ]
