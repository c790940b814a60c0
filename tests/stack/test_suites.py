"""Every test file belongs to exactly one environment's suite, and a failing check fails the run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stack import suites
from stack.places import PROJECT_DIR, environments
from stack.suites import SUITES, TYPED, Step, expand, lint_commands, pytest_command, run_step

CORE = next(suite for suite in SUITES if suite.name == "core")


def files_of(suite: suites.Suite) -> set[str]:
    ignored = {path for pattern in suite.ignored for path in expand(pattern)}
    found: set[str] = set()
    for path in (path for pattern in suite.paths for path in expand(pattern)):
        place = PROJECT_DIR / path
        files = place.rglob("test_*.py") if place.is_dir() else [place]
        found |= {str(file.relative_to(PROJECT_DIR)) for file in files}
    return found - ignored


def test_every_test_file_runs_in_exactly_one_environment() -> None:
    everywhere = sorted(str(file.relative_to(PROJECT_DIR)) for file in (PROJECT_DIR / "tests").rglob("test_*.py"))
    assert everywhere
    assert sorted(file for suite in SUITES for file in files_of(suite)) == everywhere


def test_each_environment_has_a_suite_and_types() -> None:
    assert list(dict.fromkeys(suite.environment for suite in SUITES)) == environments() == list(TYPED)
    assert len({suite.name for suite in SUITES}) == len(SUITES)


def test_quick_run_leaves_out_what_needs_servers() -> None:
    quick = pytest_command(CORE, quick=True)
    assert quick[quick.index("-m", 3) + 1] == "not spark and not stack and not slow"
    assert quick[:4] == pytest_command(CORE)[:4]


def test_tests_are_slowed_by_coverage_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[list[str]] = []

    def run(step: Step, **_: bool) -> bool:
        ran.append(step.argv)
        return True

    monkeypatch.setattr(suites, "run_step", run)
    monkeypatch.setattr(suites, "print_coverage", lambda: ran.append(["table"]))
    monkeypatch.setattr(suites, "COVERAGE_DIR", tmp_path / "coverage")
    assert suites.main(["test"]) == 0
    assert ran[-len(SUITES) :] == [pytest_command(suite) for suite in SUITES]
    assert not any("coverage" in argv for argv in ran)
    ran.clear()
    assert suites.main(["coverage"]) == 0
    assert ran == [*(pytest_command(suite, covered=True) for suite in SUITES), ["table"]]
    assert all("coverage" in argv for argv in ran[:-1])


def test_doctests_of_the_kernel_run() -> None:
    command = pytest_command(CORE, quick=True)
    assert "--doctest-modules" in command
    assert "recloop" in command


def test_lint_covers_ruff_types_and_import_contracts() -> None:
    assert {"ruff check", "ruff format", "import contracts", "types in core"} <= set(lint_commands())


@pytest.mark.parametrize(("code", "accepted", "passed"), [(0, (0,), True), (1, (0,), False), (5, (0, 5), True)])
def test_exit_code_decides(code: int, accepted: tuple[int, ...], passed: bool) -> None:
    step = Step("x", [sys.executable, "-c", f"raise SystemExit({code})"], accepted=accepted)
    assert run_step(step) is passed


def test_what_two_steps_say_does_not_mix(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    said = "import time\nfor _ in range(3):\n    print('{0}', flush=True)\n    time.sleep(.05)"
    commands = {name: [sys.executable, "-c", said.format(name)] for name in ("left", "right")}
    monkeypatch.setattr(suites, "lint_commands", lambda: commands)
    assert suites.main(["lint"]) == 0
    out, _ = capfd.readouterr()
    assert out.index("== right\n") < out.index("left\nleft")
    assert "left\n" * 3 + "== left: passed" in out
    assert "right\n" * 3 + "== right: passed" in out


def test_failing_check_fails_the_run_and_is_named_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    good, bad = [sys.executable, "-c", ""], [sys.executable, "-c", "raise SystemExit(1)"]
    monkeypatch.setattr(suites, "lint_commands", lambda: {"bad": bad, "good": good})
    assert suites.main(["lint"]) == 1
    out, err = capfd.readouterr()
    assert "== good: passed" in out, "the others run all the same"
    assert err == "Failed: bad.\n"
    monkeypatch.setattr(suites, "lint_commands", lambda: {"good": good})
    assert suites.main(["lint"]) == 0
