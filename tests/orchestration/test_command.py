"""The operator with real processes."""

from __future__ import annotations

import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from threading import Thread
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, AirflowTaskTimeout
from airflow.sdk.execution_time.task_runner import _run_execute_callable

from orchestration.command import CommandOperator, environment, given, group_ended, last_object
from recloop.settings import PROJECT_DIR


def operator(*code: str, **options: Any) -> CommandOperator:
    return CommandOperator(task_id="run_code", argv=[sys.executable, "-c", *code], **options)


def run(*code: str, **options: Any) -> object:
    return operator(*code, **options).execute({})


def test_last_line_of_json_is_the_result() -> None:
    assert run("print('working'); print('{\"rows_in\": 3}')") == {"rows_in": 3}


def test_farewell_on_stderr_does_not_hide_the_result() -> None:
    code = (
        "import sys; print('{\"version\": \"7\"}', flush=True); print('WARN ShutdownHookManager: bye', file=sys.stderr)"
    )
    assert run(code) == {"version": "7"}


def test_output_without_an_object_gives_no_result() -> None:
    assert run("print('done')") is None


def test_non_zero_exit_fails_with_the_last_lines() -> None:
    with pytest.raises(AirflowException, match=r"ended with 3:\nPromotionRefused: 0\.31\nwas 0\.32") as failure:
        run("import sys; print('PromotionRefused: 0.31'); print('was 0.32'); sys.exit(3)")
    assert not isinstance(failure.value, AirflowFailException)  # another try may go well


def test_wrong_arguments_are_not_tried_again() -> None:
    with pytest.raises(AirflowFailException, match="required: --version"):
        run(
            "import argparse; p = argparse.ArgumentParser(); p.add_argument('--version', required=True); p.parse_args()"
        )


def test_argument_cannot_become_a_command(tmp_path: Path) -> None:
    evil = f"; touch {tmp_path / 'hacked'} #$(touch {tmp_path / 'hacked'})"
    assert run("import json, sys; print(json.dumps({'got': sys.argv[1]}))", evil) == {"got": evil}
    assert not (tmp_path / "hacked").exists()


def test_command_starts_in_the_projects_folder_and_imports_the_kernel() -> None:
    code = "import json, os, recloop; print(json.dumps({'folder': os.getcwd(), 'kernel': recloop.__file__}))"
    assert run(code) == {"folder": str(PROJECT_DIR), "kernel": str(PROJECT_DIR / "recloop" / "__init__.py")}


def test_bytes_that_are_no_text_do_not_stop_the_task() -> None:
    assert run("import sys; sys.stdout.buffer.write(b'\\xff\\n'); print('{}')") == {}


@pytest.mark.parametrize("only_if", ["", "False", "None"])
def test_unwanted_task_is_skipped(only_if: str) -> None:
    with pytest.raises(AirflowSkipException):
        run("raise SystemExit(1)", only_if=only_if)


def test_airflows_own_settings_stay_with_airflow() -> None:
    inherited = {"AIRFLOW__CORE__FERNET_KEY": "s", "_AIRFLOW_PROCESS_CONTEXT": "c", "RECLOOP_HOST": "h", "PATH": "/bin"}
    assert set(environment(inherited)) == {"RECLOOP_HOST", "PATH", "PYTHONPATH", "PYTHONUNBUFFERED"}


def stubborn_grandchild(mark: Path) -> str:
    """Return code whose child writes `mark` again and again and ignores a polite request to end."""
    grandchild = (
        "import signal, time, pathlib\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"while True: pathlib.Path({str(mark)!r}).touch(); time.sleep(0.02)"
    )
    return f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"


def appears(mark: Path) -> bool:
    until = time.monotonic() + 20
    while not mark.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return mark.exists()


def assert_nothing_writes(mark: Path) -> None:
    mark.unlink()
    time.sleep(0.3)
    assert not mark.exists()


def test_kill_ends_the_grandchild_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.command.GRACE_SECONDS", 0.5)
    mark = tmp_path / "alive"
    task = operator(stubborn_grandchild(mark))

    def execute() -> None:
        with pytest.raises(AirflowException):
            task.execute({})

    thread = Thread(target=execute)
    thread.start()
    assert appears(mark)
    task.on_kill()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert_nothing_writes(mark)


def test_timeout_ends_the_grandchild_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.command.GRACE_SECONDS", 0.5)
    mark = tmp_path / "alive"
    task = operator(stubborn_grandchild(mark), execution_timeout=timedelta(seconds=2))
    with pytest.raises(AirflowTaskTimeout):
        # How Airflow's own task runner calls an operator: the alarm interrupts the read, then it calls on_kill.
        _run_execute_callable({}, task.execute, task)  # type: ignore[typeddict-item]
    assert mark.exists()
    assert_nothing_writes(mark)


def test_kill_before_the_start_does_nothing() -> None:
    operator("print()").on_kill()


def test_group_that_ended_is_seen() -> None:
    process = Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True, text=True)
    assert group_ended(process, signal.SIGTERM, within=20)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        pytest.param(["a", "--x", "", "--y", "1"], ["a", "--y", "1"], id="option_without_value"),
        pytest.param(["a", "--end", "now", ""], ["a", "--end", "now"], id="empty_flag_keeps_the_value_before_it"),
        pytest.param(["a", "--flag", "--x", "1"], ["a", "--flag", "--x", "1"], id="nothing_empty"),
    ],
)
def test_empty_arguments_are_left_out(argv: list[str], expected: list[str]) -> None:
    assert given(argv) == expected


@pytest.mark.parametrize("lines", [[], ["{torn"], ["3", '"text"', "[1]", "null"]])
def test_lines_without_an_object_give_none(lines: list[str]) -> None:
    assert last_object(lines) is None
