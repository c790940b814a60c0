"""Rules of the house that no linter has."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from recloop.settings import PROJECT_DIR, Environment
from recloop.tables import Column
from tests.policy.sources import SOURCES

COMMANDS = [path for path in SOURCES if 'if __name__ == "__main__"' in path.read_text()]
FLOORS = {
    "apache-airflow": (3, 2, 2), "mlflow": (3, 11), "torch": (2, 10), "lightgbm": (4, 6), "pyspark": (4, 0, 1),
    "feast": (0, 66), "redis": (4, 5, 5), "pyarrow": (14, 0, 1),
}  # fmt: skip

NO_COLUMNS = {
    # what computes
    "training/ablate.py": {"device"}, "training/benchmark.py": {"device"}, "training/train.py": {"device"},
    # fields of the API's answers and requests, labels of its metrics
    "serving/app.py": {"field", "reason"}, "serving/release_client.py": {"reason"},
    "serving/telemetry.py": {"field", "reason"},
    "benchmarks/serving.py": {"event_id", "event_time", "action", "user_id", "item_id", "surface"},
    # a field of Interactions, a column of KuaiRand's files
    "benchmarks/cold_items.py": {"dwell_ms"}, "benchmarks/growth.py": {"user_id"},
}  # fmt: skip
"""Words that are a column's name and mean something else in these files."""


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT_DIR))


def tracked_files() -> list[Path]:
    names = subprocess.run(["git", "ls-files"], cwd=PROJECT_DIR, capture_output=True, text=True, check=True).stdout
    return [path for name in names.splitlines() if (path := PROJECT_DIR / name).is_file()]


def test_there_are_sources_and_commands() -> None:
    assert len(SOURCES) > 40
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_module_opens_by_saying_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_functions_have_return_types() -> None:
    untyped = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is None
    ]
    assert untyped == []


def test_functions_and_files_fit_a_screen_or_two() -> None:
    long_files = [relative(path) for path in SOURCES if len(path.read_text().splitlines()) > 600]
    long_functions = [
        f"{relative(path)}:{node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > 60
    ]
    assert (long_files, long_functions) == ([], [])


def test_locks_are_above_the_security_floors() -> None:
    seen = set()
    for environment in Environment:
        lock = (PROJECT_DIR / "requirements" / f"{environment}.txt").read_text()
        for name, floor in FLOORS.items():
            for version in re.findall(rf"^{name}(?:\[[^]]*\])?==([\d.]+)", lock, flags=re.MULTILINE):
                seen.add(name)
                assert tuple(map(int, version.split("."))) >= floor, f"{environment}: {name} {version}"
    assert seen == set(FLOORS)


def test_nothing_names_a_registry_or_an_absolute_path_of_a_machine() -> None:
    # Of a path, the root: behind a letter or a slash it is a folder of some other one, or of an address.
    pattern = re.compile(
        r"extra-index|index-url|https://(?:pypi\.org/simple|repo1?\.maven)|(?<![\w/.*}-])/(?:work|root|home|Users)/"
    )
    this = Path(__file__).resolve()
    others = [path for path in tracked_files() if path != this]
    assert {".py", ".md", ".json", ".txt", ""} <= {path.suffix for path in others}
    assert [relative(path) for path in others if pattern.search(path.read_text(errors="ignore"))] == []


def test_no_large_file_is_tracked() -> None:
    files = tracked_files()
    assert files
    assert [relative(path) for path in files if path.stat().st_size > 1_000_000] == []


def test_columns_are_written_as_literals_only_in_the_kernel() -> None:
    # The other folders hold no tables: they meet these words in the JSON of the API and of Airflow.
    folders = ("jobs", "training", "expectations", "feature_repo", "serving", "benchmarks")
    paths = [path for folder in folders for path in sorted((PROJECT_DIR / folder).rglob("*.py"))]
    columns = {str(column) for column in Column}
    hits = [
        f"{relative(path)}:{node.lineno} {node.value}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in columns
        and node.value not in NO_COLUMNS.get(relative(path), ())
    ]  # fmt: skip
    assert len(paths) > 100
    assert hits == []
