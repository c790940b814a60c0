"""Ask each component a real question, and wait until it answers: nothing is slept for.

A probe returns None when the component is healthy, else what is still missing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import httpx

from recloop.errors import ComponentUnavailable
from recloop.settings import Port, Settings
from stack.supervision import STOPPED, Supervisor, log_file, ticks

Probe = Callable[[Settings], str | None]
SECONDS_TO_START = 180
LOG_LINES = 15


def wait_until_healthy(supervisor: Supervisor, name: str, pid: int) -> None:
    """Wait for a component's answer; stop waiting as soon as the process `pid` is gone.

    Raises:
        ComponentUnavailable: it died, or did not answer in time; the message ends with the end of its log.
    """
    missing: str | None = "no answer"
    for _ in ticks(SECONDS_TO_START):
        missing = probe(supervisor.settings, name)
        if missing is None:
            return
        info = supervisor.info(name)
        if info["statename"] in (*STOPPED, "BACKOFF") or int(info["pid"]) != pid:
            missing = f"it ended ({info['spawnerr'] or info['statename']})"
            break
    log = log_file(supervisor.settings, name)
    raise ComponentUnavailable(f"{name} does not start: {missing}. The end of {log}:\n{last_lines(log)}")


def probe(settings: Settings, name: str) -> str | None:
    """Ask one component; None means healthy."""
    try:
        return PROBES[name](settings)
    except Exception as error:  # whatever a client raises while its server starts is the answer "not yet"
        return f"{type(error).__name__}: {error}".strip()


def last_lines(log: Path, count: int = LOG_LINES) -> str:
    """Return the end of a log, indented."""
    if not log.is_file():
        return "  (there is none)"
    lines = log.read_text(errors="replace").splitlines()[-count:]
    return "\n".join(f"  {line}" for line in lines) or "  (empty)"


def is_free(host: str, port: int) -> bool:
    """Tell whether something may listen there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def _postgres(settings: Settings) -> str | None:
    import psycopg2

    connection = psycopg2.connect(
        host=settings.host,
        port=settings.port(Port.POSTGRES),
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        dbname="postgres",
        connect_timeout=2,
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()
    return None


def _redis(settings: Settings) -> str | None:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    password = settings.redis_password.get_secret_value()
    at_once = Retry(NoBackoff(), 0)  # the client's own patience is longer than ours
    port = settings.port(Port.REDIS)
    with Redis(settings.host, port, password=password, socket_timeout=2, retry=at_once) as client:
        return None if client.ping() else "no PONG"


def _kafka(settings: Settings) -> str | None:
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": settings.address(Port.KAFKA), "log_level": 0})
    return None if client.list_topics(timeout=2).brokers else "no broker in its metadata"


def _answers(url: Callable[[Settings], str], path: str) -> Probe:
    def ask(settings: Settings) -> str | None:
        answer = httpx.get(url(settings) + path, timeout=5)
        return None if answer.is_success else f"{path} answers {answer.status_code}"

    return ask


def _airflow(part: str) -> Probe:
    def ask(settings: Settings) -> str | None:
        answer = httpx.get(f"{settings.airflow}/api/v2/monitor/health", timeout=5)
        state = answer.raise_for_status().json()[part]["status"]
        return None if state == "healthy" else f"{part} is {state}"

    return ask


def _streaming(settings: Settings) -> str | None:
    answer = httpx.get(f"http://{settings.address(Port.FLINK)}/jobs/overview", timeout=5).raise_for_status()
    states = [job["state"] for job in answer.json()["jobs"]]
    return None if "RUNNING" in states else f"its jobs are {states}"


PROBES: dict[str, Probe] = {
    "postgres": _postgres,
    "redis": _redis,
    "kafka": _kafka,
    "mlflow": _answers(lambda settings: settings.mlflow, "/health"),
    "airflow-api": _airflow("metadatabase"),
    "airflow-scheduler": _airflow("scheduler"),
    "airflow-dag-processor": _airflow("dag_processor"),
    "airflow-triggerer": _airflow("triggerer"),
    "streaming": _streaming,
    "serving": _answers(lambda settings: settings.serving, "/health/live"),
}
