"""Every benchmark says before it works, not after hours, that its report cannot be written."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from recloop.settings import PROJECT_DIR

NOWHERE = "events:nowhere"
SPAN = ["--data", NOWHERE, "--from", "2024-03-02", "--to", "2024-03-03"]
UNTIL = ["--until", "2024-03-01"]
OPTIONS = {
    "action_budget": [*SPAN, *UNTIL],
    "cold_items": [*SPAN, *UNTIL],
    "compression": [*SPAN, *UNTIL],
    "determinism": ["--data", NOWHERE, *UNTIL],
    "devices": ["--data", "kuairand:nowhere", *UNTIL],
    "growth": ["--data", "kuairand:nowhere", *UNTIL],
    "hides": [*SPAN, *UNTIL],
    "narrowness": [*SPAN, "--bundle", "nowhere"],
    "rectools": ["--train", "nowhere"],
    "retraining": ["--data", NOWHERE, *UNTIL, "2024-03-02", "--to", "2024-03-03"],
    "user_levels": ["--scores", "nowhere"],
}


def option_of(name: str) -> str | None:
    text = (PROJECT_DIR / "benchmarks" / f"{name}.py").read_text()
    return next((option for option in ("--out", "--report") if f'add_argument("{option}"' in text), None)


def test_every_benchmark_that_is_told_where_to_write_is_looked_at() -> None:
    names = {path.stem for path in (PROJECT_DIR / "benchmarks").glob("*.py")}
    assert {name for name in names if option_of(name)} == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_folder_that_is_missing_is_said_first(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "missing" / "report.json"
    main = import_module(f"benchmarks.{name}").main
    assert main([*OPTIONS[name], str(option_of(name)), str(report)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"ConfigurationError: {report} cannot be written: {report.parent} is no folder. Make it first."
    )
