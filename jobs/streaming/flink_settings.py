"""Flink's configuration as plain text: what the job needs anywhere, and what one machine adds.

In: Settings. Out: dicts of Flink's own option names, and the environment of its JVM. Needs no Flink.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from jobs.streaming.checkpoints import newest_checkpoint
from recloop.errors import MachineError
from recloop.settings import PROJECT_DIR, Port, Settings

JARS_DIR = PROJECT_DIR / "var" / "jars" / "flink"
LOG_CONFIG = Path(__file__).with_name("log4j2.properties")
CHECKPOINT_SECONDS = 10


def job_options() -> dict[str, str]:
    """Return what the job needs on a cluster as well as here."""
    return {
        # Processes cost ten times the throughput: every event would cross a socket twice.
        "python.execution-mode": "thread",
        # By default records wait up to 100 ms for a network buffer to fill, which would be all of our freshness.
        "execution.buffer-timeout.interval": "0 ms",
        "execution.checkpointing.interval": f"{CHECKPOINT_SECONDS} s",
        "execution.checkpointing.min-pause": "1 s",
        "execution.checkpointing.timeout": "2 min",
        # A store that is away slows Flink checkpoints down; that is no reason to restart.
        "execution.checkpointing.tolerable-failed-checkpoints": "1000",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": "3",
        "pipeline.object-reuse": "true",
        "table.local-time-zone": "UTC",
        # Table operators get ids from their names, so that state finds its operator when the job has changed.
        "table.exec.uid.generation": "ALWAYS",
        "table.exec.uid.format": "<type>-<transformation>",
    }


def local_options(settings: Settings) -> dict[str, str]:
    """Return what makes one process of it all: mini cluster, page and REST on loopback, small memory."""
    checkpoints = settings.var_dir / "flink" / "checkpoints"
    options = {
        "rest.address": settings.host,
        "rest.bind-address": settings.host,
        "rest.port": str(settings.port(Port.FLINK)),
        "rest.bind-port": str(settings.port(Port.FLINK)),
        "jobmanager.rpc.address": settings.host,
        "jobmanager.bind-host": settings.host,
        "taskmanager.host": settings.host,
        "taskmanager.bind-host": settings.host,
        "web.submit.enable": "false",
        "web.cancel.enable": "false",
        "io.tmp.dirs": str(settings.var_dir / "tmp"),
        "pipeline.jars": ";".join(path.as_uri() for path in local_jars()),
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "parallelism.default": "1",
        "taskmanager.numberOfTaskSlots": "1",
        "taskmanager.memory.network.min": "16m",
        "taskmanager.memory.network.max": "16m",
        "taskmanager.memory.managed.size": "16m",
        "execution.checkpointing.dir": checkpoints.as_uri(),
    }
    if found := newest_checkpoint(checkpoints):
        options["execution.state-recovery.path"] = found.as_uri()
        # Flink then removes the old one once new ones have taken its place.
        options["execution.state-recovery.claim-mode"] = "CLAIM"
    return options


def local_environment() -> dict[str, str]:
    """Return the variables of the JVM that PyFlink starts: its memory, its log, where it finds the job's modules."""
    # The interpreter inside the JVM is the environment's base one: it does not look into the environment by itself.
    paths = [str(PROJECT_DIR), *{sysconfig.get_path(kind) for kind in ("purelib", "platlib")}]
    paths.append(os.environ.get("PYTHONPATH", ""))
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "JVM_ARGS": "-Xms128m -Xmx320m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
        "-XX:ReservedCodeCacheSize=64m -XX:MaxMetaspaceSize=192m",
        "LOG4J_PROPERTIES": str(LOG_CONFIG),
        # Else PyFlink starts a server for worker processes, which thread mode has none of, on every address.
        "_python_worker_execution_mode": "process",
        # Each thread's own arena would keep tens of megabytes that are never used again.
        "MALLOC_ARENA_MAX": "2",
    }


def local_jars() -> list[Path]:
    """Return the connector's jars.

    Raises:
        MachineError: they were not fetched yet.
    """
    jars = sorted(JARS_DIR.glob("*.jar"))
    if not jars:
        raise MachineError(f"{JARS_DIR} has no jars; Flink needs its Kafka connector there. Run `make setup`.")
    return jars
