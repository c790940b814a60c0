"""An operator that runs one command of `recloop.commands` in the project's folder, without a shell.

The last line of output that is a JSON object is the task's XCom: every job ends with one object of counts. Airflow's
own SubprocessHook keeps the very last line only, which may be a JVM's farewell on stderr.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from subprocess import PIPE, STDOUT, Popen
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from recloop.settings import PROJECT_DIR

FALSE_TEXTS = {"", "False", "None"}
KEPT_LINES = 20
USAGE_ERROR = 2
GRACE_SECONDS = 20.0


class CommandOperator(BaseOperator):
    """Run `argv`, a list of arguments that no shell ever sees.

    Args:
        argv: the command; each argument is a template. One that renders to nothing is left out, with the option
            before it, so that a DAG can offer an optional argument.
        only_if: a template; where it renders to nothing, False or None the task is skipped.
    """

    template_fields: Sequence[str] = ("argv", "only_if")

    def __init__(self, *, argv: list[str], only_if: str = "True", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.argv = argv
        self.only_if = only_if
        self._process: Popen[str] | None = None

    def execute(self, context: Any) -> dict[str, Any] | None:
        """Run the command; a non-zero exit code fails the task, and one for bad usage is not tried again."""
        if self.only_if in FALSE_TEXTS:
            raise AirflowSkipException(f"{self.task_id} is not wanted in this run")
        argv = given(self.argv)
        self.log.info("Running %s", argv)
        code, lines = self._run(argv)
        if code != 0:
            error = AirflowFailException if code == USAGE_ERROR else AirflowException
            raise error(f"{self.task_id} ended with {code}:\n" + "\n".join(lines))
        return last_object(lines)

    def _run(self, argv: list[str]) -> tuple[int, deque[str]]:
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        # A session of its own, so that on_kill reaches whatever the command starts.
        process = Popen(
            argv,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=PROJECT_DIR,
            env=environment(os.environ),
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        self._process = process
        assert process.stdout is not None
        # No `with`: on a timeout it would wait here for the child that on_kill ends only afterwards.
        for line in process.stdout:
            lines.append(line.rstrip())
            self.log.info("%s", lines[-1])
        return process.wait(), lines

    def on_kill(self) -> None:
        """End the command and whatever it started: they share a process group. Returns when they are gone."""
        if self._process is None:
            return
        for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
            if group_ended(self._process, number, within=seconds):
                return


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what a command inherits: all but Airflow's own settings, which hold its keys and its database."""
    kept = {name: value for name, value in inherited.items() if not name.lstrip("_").startswith("AIRFLOW_")}
    return kept | {"PYTHONPATH": str(PROJECT_DIR), "PYTHONUNBUFFERED": "1"}


def group_ended(process: Popen[str], number: signal.Signals, *, within: float) -> bool:
    """Send a signal to the process's group; tell whether the group is gone within so many seconds."""
    until = time.monotonic() + within
    try:
        os.killpg(process.pid, number)
        while time.monotonic() < until:
            process.poll()  # an ended child stays in the group until it is asked for
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    except ProcessLookupError:
        return True
    return False


def given(argv: Sequence[str]) -> list[str]:
    """Return the arguments that say something.

    >>> given(["job", "--start", "2022-05-01", "--files", "", ""])
    ['job', '--start', '2022-05-01']
    """
    kept: list[str] = []
    for argument in argv:
        if argument != "":
            kept.append(argument)
        elif kept and kept[-1].startswith("--"):
            kept.pop()
    return kept


def last_object(lines: Sequence[str]) -> dict[str, Any] | None:
    """Return the last of the lines that is a JSON object, None where there is none.

    >>> last_object(['{"rows_in": 1}', '{"rows_in": 2}', '26/11/23 WARN ShutdownHookManager: bye', '3'])
    {'rows_in': 2}
    """
    for line in reversed(lines):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None
