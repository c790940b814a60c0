"""How environments are made from locks; a failure says what to do and leaves no stamp."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from recloop.errors import MachineError
from stack import environments
from stack.places import REQUIREMENTS_DIR, VENV_DIR, python
from stack.places import environments as environment_names

LOCKS = sorted(REQUIREMENTS_DIR.glob("*.txt"))


def test_there_are_locks() -> None:
    assert len(LOCKS) >= 4


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_pins_every_package_with_hashes_and_names_no_index(lock: Path) -> None:
    text = lock.read_text()
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages
    assert all("==" in line and line.endswith("\\") for line in packages), "not pinned, or without a hash"
    assert "://" not in text
    assert not any(line.startswith("--") for line in text.splitlines()), "an option, of an index say"


@pytest.mark.parametrize("environment", environment_names())
def test_kernel_is_installed_in_every_environment(environment: str) -> None:
    code = "import recloop.settings, sys; print(recloop.settings.__file__)"
    done = subprocess.run([python(environment), "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == str(VENV_DIR.parent / "recloop" / "settings.py")


@pytest.mark.parametrize("environment", environment_names())
def test_packages_are_compiled_though_nobody_imported_them(environment: str) -> None:
    folder = environments.site_packages(environment) / "pydantic" / "v1"
    assert len(list((folder / "__pycache__").glob("*.pyc"))) == len(list(folder.glob("*.py"))) > 0


@pytest.mark.parametrize("environment", environments.ENVIRONMENTS_WITH_JAVA)
def test_interpreter_knows_the_projects_java_whatever_the_user_has(environment: str) -> None:
    done = subprocess.run(
        [python(environment), "-c", "import os; print(os.environ['JAVA_HOME'])"],
        capture_output=True,
        text=True,
        check=True,
        env={"JAVA_HOME": "/usr/lib/jvm/java-8"},
    )
    assert done.stdout.strip() == str(VENV_DIR.parent / "var" / "java")


def test_failed_install_says_so_and_is_not_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.txt").write_text("no-such-package-anywhere==1.0 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setattr(environments, "REQUIREMENTS_DIR", tmp_path)
    monkeypatch.setattr(environments, "VENV_DIR", tmp_path / ".venv")
    monkeypatch.setattr(environments, "python", lambda name: tmp_path / ".venv" / name / "bin" / "python")
    # As on a machine without a network: nothing is asked, the package is not in the cache.
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(MachineError, match=r"\.venv/broken cannot be made.*package registry.*make setup"):
        environments.install_environment("broken")
    assert "no-such-package-anywhere" in capfd.readouterr().err
    assert not (tmp_path / ".venv" / "broken" / "done").exists()


def test_what_is_done_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(argv: list[str], advice: str) -> None:
        raise AssertionError(f"ran {argv}")

    monkeypatch.setattr(environments, "interpreter", lambda: str(python("core").resolve()))
    monkeypatch.setattr(environments, "_run", refuse)
    environments.install_all()
