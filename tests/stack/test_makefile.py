"""`make` alone prints every target with its purpose."""

from __future__ import annotations

import re
import subprocess

from stack.places import PROJECT_DIR


def test_make_alone_prints_every_target_with_its_purpose() -> None:
    targets = re.findall(r"^([a-z]+):", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE)
    assert {"setup", "demo", "test", "check", "up", "down", "status"} <= set(targets)
    shown = subprocess.run(["make"], cwd=PROJECT_DIR, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make ([a-z]+) +\S", shown, re.MULTILINE) == targets


def test_make_without_a_fitting_python_says_which_one_is_needed() -> None:
    done = subprocess.run(["make", "setup", "PYTHON="], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no Python 3.11 or 3.12 is on PATH" in done.stderr


def test_ci_calls_a_target_of_the_makefile_and_nothing_else() -> None:
    lines = (PROJECT_DIR / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
