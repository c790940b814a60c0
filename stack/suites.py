"""Run the checks and the tests, each suite in the environment it is written for. Standard library only.

Of lint and the quick tests two steps run at a time, as each keeps one core busy; the servers of the others need both.

Run: python3 -m stack.suites check      lint, types, import contracts, the tests that need no server
     python3 -m stack.suites test       the same, and all tests
     python3 -m stack.suites coverage   all tests, and a table of the lines that they ran in all environments together
     python3 -m stack.suites lint       lint, types, import contracts
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from stack.places import INSTALLED_DIR, PROJECT_DIR, VENV_DIR, python

QUICK = "not spark and not stack and not slow"
COVERAGE_DIR = INSTALLED_DIR / "coverage"
PYTEST_NO_TESTS = 5
# Typed with the packages of the environment they run in.
TYPED = {
    "core": [
        "recloop",
        "jobs/etl",
        "expectations",
        "feature_repo",
        "training",
        "benchmarks",
        "stack",
        "demo",
        "tests/stack",
    ],
    "streaming": ["jobs/streaming"],
    "orchestration": ["orchestration", "dags"],
    "serving": ["serving"],
}


@dataclass(frozen=True)
class Suite:
    """Tests of one environment that share a process: paths or glob patterns below the project's folder."""

    name: str
    environment: str
    paths: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


FLINK_PARITY = "tests/parity/test_flink_*.py"
DAG_POLICY = "tests/policy/test_dags.py"
CORE_FOLDERS = (
    "recloop", "jobs", "expectations", "feature_repo", "training", "benchmarks", "stack", "demo", "contracts", "parity",
)  # fmt: skip
SUITES = (
    Suite(
        "core",
        "core",
        (*(f"tests/{name}" for name in CORE_FOLDERS), "tests/policy", "recloop"),
        ignored=(FLINK_PARITY, DAG_POLICY),
        options=("--doctest-modules",),
    ),
    # Its stack is its own: it need not share the machine with the servers that the others keep.
    Suite("the whole loop", "core", ("tests/e2e",)),
    Suite("streaming", "streaming", ("tests/streaming", FLINK_PARITY)),
    Suite("orchestration", "orchestration", ("tests/orchestration", DAG_POLICY)),
    Suite("serving", "serving", ("tests/serving",)),
)


@dataclass(frozen=True)
class Step:
    """A command and the exit codes that say it passed."""

    name: str
    argv: list[str]
    environment: dict[str, str] | None = None
    accepted: tuple[int, ...] = (0,)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python3 -m stack.suites", description=__doc__)
    parser.add_argument("what", choices=["lint", "check", "test", "coverage"])
    what = parser.parse_args(argv).what
    light = [Step(name, command) for name, command in lint_commands().items()] if what != "coverage" else []
    if what == "check":
        # The longest first: the others fill the time beside it.
        light = [*suite_steps(quick=True), *light]
    heavy = suite_steps(covered=what == "coverage") if what in {"test", "coverage"} else []
    passed = [*run_side_by_side(light), *(run_step(step) for step in heavy)]
    failed = [step.name for step, good in zip([*light, *heavy], passed, strict=True) if not good]
    if what == "coverage":
        print_coverage()
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def lint_commands() -> dict[str, list[str]]:
    """Return the checks that read the code without running it."""
    tools = VENV_DIR / "core" / "bin"
    checks = {
        "ruff check": [str(tools / "ruff"), "check", "."],
        "ruff format": [str(tools / "ruff"), "format", "--check", "."],
        "import contracts": [str(tools / "lint-imports")],
    }
    for environment, folders in TYPED.items():
        there = [folder for folder in folders if any((PROJECT_DIR / folder).rglob("*.py"))]
        if there:
            # A cache made with one environment's packages misleads mypy in another.
            cache = ["--cache-dir", str(INSTALLED_DIR / "mypy" / environment)]
            checks[f"types in {environment}"] = [str(python(environment)), "-m", "mypy", *cache, *there]
    return checks


def pytest_command(suite: Suite, *, quick: bool = False, covered: bool = False) -> list[str]:
    """Return the argv of one suite's pytest; under coverage Python takes a third longer."""
    paths = [path for pattern in suite.paths for path in expand(pattern)]
    ignored = [f"--ignore={path}" for pattern in suite.ignored for path in expand(pattern)]
    runner = ["-m", "coverage", "run", "-m", "pytest"] if covered else ["-m", "pytest"]
    chosen = ["-m", QUICK] if quick else []
    return [str(python(suite.environment)), *runner, "-q", *chosen, *suite.options, *ignored, *paths]


def expand(pattern: str) -> list[str]:
    """Return the existing paths that a pattern names, relative to the project's folder."""
    return sorted(str(path.relative_to(PROJECT_DIR)) for path in PROJECT_DIR.glob(pattern))


def suite_steps(*, quick: bool = False, covered: bool = False) -> list[Step]:
    """Return a step per suite."""
    if covered:
        shutil.rmtree(COVERAGE_DIR, ignore_errors=True)
        COVERAGE_DIR.mkdir(parents=True)
    environment = os.environ | {"COVERAGE_FILE": str(COVERAGE_DIR / "data")}
    # A stack the user has running is none of the tests' business.
    for name in ("RECLOOP_VAR_DIR", "RECLOOP_PORTS_FROM"):
        environment.pop(name, None)
    # All tests of a suite may need a server; then the quick run selects none.
    accepted = (0, PYTEST_NO_TESTS) if quick else (0,)
    return [
        Step(f"tests of {suite.name}", pytest_command(suite, quick=quick, covered=covered), environment, accepted)
        for suite in SUITES
    ]


def run_side_by_side(steps: list[Step]) -> list[bool]:
    """Run two steps at a time; tell of each whether it passed. What one says is printed when it has ended."""
    with ThreadPoolExecutor(2) as pool:
        try:
            return list(pool.map(partial(run_step, aside=True), steps))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_step(step: Step, *, aside: bool = False) -> bool:
    """Run one check with a line before and after it; tell whether it passed."""
    print(f"== {step.name}", flush=True)
    start, where = time.monotonic(), subprocess.STDOUT if aside else None
    done = subprocess.run(
        step.argv, cwd=PROJECT_DIR, env=step.environment, stdout=subprocess.PIPE if aside else None, stderr=where,
        check=False,
    )  # fmt: skip
    passed, said = done.returncode in step.accepted, (done.stdout or b"").decode(errors="replace")
    verdict = "passed" if passed else f"FAILED ({done.returncode})"
    print(f"{said}== {step.name}: {verdict}, {time.monotonic() - start:.0f} s", flush=True)
    return passed


def print_coverage() -> None:
    """Add up what the environments' tests ran and print the table."""
    coverage = [str(python("core")), "-m", "coverage"]
    environment = os.environ | {"COVERAGE_FILE": str(COVERAGE_DIR / "data")}
    subprocess.run([*coverage, "combine", "--quiet"], cwd=PROJECT_DIR, env=environment, check=False)
    subprocess.run([*coverage, "report"], cwd=PROJECT_DIR, env=environment, check=False)


if __name__ == "__main__":
    sys.exit(main())
