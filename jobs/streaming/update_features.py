"""Keep every user's newest 100 interactions in the online store, milliseconds after each event.

Reads topic `events.v1`, writes `user_recent` rows through Feast and rejects with their original bytes to `rejects.v1`.
At-least-once, with writes that repeat to the same end: newest 100 distinct by (time, hash of event id), whatever the
order; what the store has not acknowledged is sent again, also after a kill.

One machine, with Flink's mini cluster, its page and its REST API in this process:
    python -m jobs.streaming.update_features
A Flink cluster, by settings alone (RECLOOP_* in the environment of its TaskManagers; PYTHONPATH there and here holds
this project and the environment's packages; state.backend, parallelism and checkpoint folder are the cluster's):
    flink run -d -j flink-sql-connector-kafka.jar -pyexec P -pyclientexec P -py jobs/streaming/update_features.py
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.streaming.checkpoints import remove_leftovers
from jobs.streaming.flink_settings import job_options, local_environment, local_options
from jobs.streaming.local_job import check_port, is_consuming, wait_for_end
from jobs.streaming.pipeline import JOB_NAME, build
from recloop.cli import run
from recloop.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyflink.datastream import StreamExecutionEnvironment

log = logging.getLogger("jobs.streaming.update_features")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    build_parser().parse_args(argv)
    return run(lambda: update_features(load_settings()))


def build_parser() -> argparse.ArgumentParser:
    """Return the command's options; all else is in RECLOOP_* settings."""
    return argparse.ArgumentParser(
        prog="python -m jobs.streaming.update_features", description=(__doc__ or "").splitlines()[0]
    )


def update_features(settings: Settings) -> int:
    """Run until stopped here; under `flink run`, submit and return."""
    # `flink run` has started the gateway already, and says so.
    if "PYFLINK_GATEWAY_PORT" in os.environ:
        env = environment(job_options())
        build(env, settings, own_process=False)
        env.execute_async(JOB_NAME)
        return 0
    return run_here(settings)


def run_here(settings: Settings) -> int:
    """Run the job in this process until SIGTERM or SIGINT; 1 when Flink gave up."""
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    check_port(settings)
    checkpoints = settings.var_dir / "flink" / "checkpoints"
    for folder in (checkpoints, settings.var_dir / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(checkpoints)
    # It comes with PyFlink, and tells at every start which of its optional parts are not there.
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    os.environ.update(local_environment())
    options = local_options(settings)
    log.info("starting from %s", options.get("execution.state-recovery.path", "the topic's committed offsets"))
    env = environment(job_options() | options)
    build(env, settings, own_process=True)
    job = env.execute_async(JOB_NAME)
    return wait_for_end(job, stop, lambda: is_consuming(settings))


def environment(options: dict[str, str]) -> StreamExecutionEnvironment:
    """Return a Flink environment with these options over the cluster's own."""
    from pyflink.common import Configuration
    from pyflink.datastream import StreamExecutionEnvironment

    configuration = Configuration()
    for name, value in options.items():
        configuration.set_string(name, value)
    return StreamExecutionEnvironment.get_execution_environment(configuration)


if __name__ == "__main__":
    sys.exit(main())
