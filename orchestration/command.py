"""An operator that runs one command of `recloop.commands` in the project's folder, without a shell.

The last line of output is the task's XCom, as an object where it is JSON: every job ends with one line of counts.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from subprocess import TimeoutExpired
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from recloop.settings import PROJECT_DIR

FALSE_TEXTS = {"", "False", "None"}


class CommandOperator(BaseOperator):
    """Run `argv`, a list of arguments that no shell ever sees.

    Args:
        argv: the command; each argument is a template. One that renders to nothing is left out, with the option
            before it, so that a DAG can offer an optional argument.
        only_if: a template; where it renders to nothing or False the task is skipped.
    """

    template_fields: Sequence[str] = ("argv", "only_if")

    def __init__(self, *, argv: list[str], only_if: str = "True", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.argv = argv
        self.only_if = only_if
        self._hook: SubprocessHook | None = None

    def execute(self, context: Any) -> Any:
        """Run the command; a non-zero exit code fails the task."""
        if self.only_if in FALSE_TEXTS:
            raise AirflowSkipException(f"{self.task_id} is not wanted in this run")
        self._hook = SubprocessHook()
        environment = os.environ | {"PYTHONPATH": str(PROJECT_DIR), "PYTHONUNBUFFERED": "1"}
        result = self._hook.run_command(given(self.argv), env=environment, cwd=str(PROJECT_DIR))
        if result.exit_code != 0:
            raise AirflowException(f"{self.task_id} ended with {result.exit_code}: {result.output}")
        return parsed(result.output)

    def on_kill(self) -> None:
        """End the command and whatever it started: they share a process group of their own."""
        process = self._hook.sub_process if self._hook else None
        if process is None or process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


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


def parsed(line: str) -> Any:
    """Return the object a line of JSON holds, or the line."""
    try:
        return json.loads(line)
    except ValueError:
        return line
