"""Look after the job when it runs in this process: a free port, the moment it consumes, its end.

In: Flink's job client and its REST API. Out: log lines and an exit code.
"""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recloop.errors import MachineError
from recloop.settings import Port, Settings

if TYPE_CHECKING:
    from pyflink.common import JobClient

POLL_SECONDS = 0.5

log = logging.getLogger(__name__)


def check_port(settings: Settings) -> None:
    """Fail early when another process listens on Flink's port.

    Raises:
        MachineError: it does; Flink's own message would be fifty lines of Java.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port(Port.FLINK)))
        except OSError as error:
            raise MachineError(
                f"port {settings.port(Port.FLINK)} of {settings.host} is taken ({error.strerror}); Flink's page and "
                "REST API need it. Stop what listens there, or set RECLOOP_PORTS_FROM to another range."
            ) from error


def wait_for_end(job: JobClient, stop: threading.Event, consuming: Callable[[], bool]) -> int:
    """Wait until `stop` is set, then cancel; say once when the job consumes. 1 when the job ended by itself."""
    ready = False
    while not stop.wait(POLL_SECONDS):
        state = str(job.get_job_status().result().name)
        if state in {"FAILED", "CANCELED", "FINISHED", "SUSPENDED"}:
            log.error("the job ended by itself, as %s; the log above has Flink's reason", state)
            return 1
        if not ready and consuming():
            ready = True
            log.info("RUNNING: every operator is up and the topic is being read")
    log.info("stopping; the next start goes on from the newest Flink checkpoint")
    cancel(job)
    return 0


def cancel(job: JobClient) -> None:
    """Cancel the job, so that its functions close; a JVM that the same signal has ended already is as good."""
    from py4j.protocol import Py4JError

    # py4j logs each lost connection with a stack trace, and a JVM on its way out loses all of them.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    try:
        job.cancel().result()
    except (Py4JError, OSError) as error:
        log.info("Flink's JVM has ended before the job was cancelled: %s", type(error).__name__)


def is_consuming(settings: Settings) -> bool:
    """Tell whether every operator of some job runs, by Flink's REST API."""
    base = f"http://{settings.address(Port.FLINK)}"
    try:
        jobs = _get(f"{base}/jobs/overview")["jobs"]
        running = [job["jid"] for job in jobs if job["state"] == "RUNNING"]
        return any(_all_run(_get(f"{base}/jobs/{job_id}")) for job_id in running)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False  # it does not answer yet


def _all_run(job: dict[str, Any]) -> bool:
    states = {vertex["status"] for vertex in job["vertices"]}
    return states == {"RUNNING"}


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())
