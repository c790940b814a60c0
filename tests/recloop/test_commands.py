"""Every command of the list names a module that exists and an option that it takes."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from recloop import commands
from recloop.settings import PROJECT_DIR

FACTORIES = [
    factory
    for name, factory in inspect.getmembers(commands, inspect.isfunction)
    if factory.__module__ == commands.__name__ and not name.startswith("_") and name not in {"module", "python"}
]


def argv(factory: object) -> list[str]:
    parameters = inspect.signature(factory).parameters.values()  # type: ignore[arg-type]
    return factory(**{p.name: True if p.annotation == "bool" else "x" for p in parameters})  # type: ignore[operator, no-any-return]


def test_there_are_commands() -> None:
    assert len(FACTORIES) > 8


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
def test_command_names_a_module_of_the_project(factory: object) -> None:
    _, flag, name, *options = argv(factory)
    assert flag == "-m"
    source = Path(PROJECT_DIR, *name.split(".")).with_suffix(".py")
    assert source.exists()
    assert all(
        option in source.read_text() or option in {"--start", "--end"} for option in options if option[:2] == "--"
    )


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
def test_command_is_documented(factory: object) -> None:
    assert inspect.getdoc(factory)
