"""Set-up runs on a bare Python, and again without doing anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stack import setup
from stack.environments import interpreter
from stack.places import PROJECT_DIR


def run_setup(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=PROJECT_DIR, capture_output=True, text=True, check=True)


def test_help_answers_on_an_interpreter_with_nothing_installed() -> None:
    # -S: no site-packages at all, not even those of this environment.
    done = run_setup(interpreter(), "-S", "-m", "stack.setup", "--help")
    assert "python3 -m stack.setup" in done.stdout


def test_second_set_up_does_nothing() -> None:
    done = run_setup(sys.executable, "-m", "stack.setup")
    assert (done.stdout, done.stderr) == ("", "")


def test_lacking_machine_stops_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from stack import machine

    def refuse() -> None:
        raise AssertionError("installed something")

    monkeypatch.setattr(machine, "find_problems", lambda: ["no disk."])
    monkeypatch.setattr(setup, "install_all", refuse)
    assert setup.main([]) == 1
    assert capsys.readouterr().err == "MachineError: this machine is not ready:\n- no disk.\n"
