"""The operator with real processes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from orchestration.command import CommandOperator, given, parsed


def run(*code: str, **options: str) -> object:
    return CommandOperator(task_id="run_code", argv=[sys.executable, "-c", *code], **options).execute({})


def test_last_line_of_json_is_the_result() -> None:
    assert run("print('working'); print('{\"rows_in\": 3}')") == {"rows_in": 3}


def test_other_last_line_is_text() -> None:
    assert run("print('done')") == "done"


def test_non_zero_exit_fails_with_the_last_line() -> None:
    with pytest.raises(AirflowException, match="ended with 3: broken: no disk"):
        run("import sys; print('broken: no disk'); sys.exit(3)")


def test_argument_cannot_become_a_command(tmp_path: Path) -> None:
    evil = f"; touch {tmp_path / 'hacked'} #$(touch {tmp_path / 'hacked'})"
    assert run("import sys; print(sys.argv[1])", evil) == evil
    assert not (tmp_path / "hacked").exists()


def test_unwanted_task_is_skipped() -> None:
    with pytest.raises(AirflowSkipException):
        run("print(1)", only_if="False")


def test_kill_ends_the_grandchild_too(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    grandchild = f"import time, pathlib\nwhile True: pathlib.Path({str(mark)!r}).touch(); time.sleep(0.05)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    operator = CommandOperator(task_id="run_code", argv=[sys.executable, "-c", code])

    def execute() -> None:
        with pytest.raises(AirflowException):
            operator.execute({})

    thread = Thread(target=execute)
    thread.start()
    for _ in range(200):
        if mark.exists():
            break
        time.sleep(0.05)
    operator.on_kill()
    thread.join(timeout=10)
    assert not thread.is_alive()
    mark.unlink()
    time.sleep(0.3)
    assert not mark.exists()


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


def test_text_that_is_no_json_stays_text() -> None:
    assert parsed("{torn") == "{torn"
