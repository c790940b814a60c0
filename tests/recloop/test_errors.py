"""The tree of errors: drawn as it is, and every one ends a command with its message."""

from __future__ import annotations

import pytest

from recloop import errors
from recloop.cli import run
from recloop.errors import EventRejected, RecloopError


def tree(root: type[Exception], depth: int = 0) -> list[tuple[int, str]]:
    """Return the classes below and with `root` as (depth, name), in the order they were defined."""
    own = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    return [(depth, root.__name__), *(row for child in own for row in tree(child, depth + 1))]


def drawn() -> list[tuple[int, str]]:
    """Return what the module's docstring draws."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if "─ " in line]
    return [(0, "RecloopError"), *(((line.index("─ ") - 2) // 4, line.split("─ ")[1].split()[0]) for line in lines)]


def test_docstring_draws_the_tree() -> None:
    assert len(tree(RecloopError)) > 10
    assert drawn() == tree(RecloopError)


@pytest.mark.parametrize("name", [name for _, name in tree(RecloopError)])
def test_every_error_ends_a_command_with_its_name_and_message(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = getattr(errors, name)
    made = error("position", "is -1") if error is EventRejected else error("position: is -1")

    def command() -> int:
        raise made

    assert run(command) == 1
    assert capsys.readouterr().err.strip() == f"{name}: position: is -1"


def test_rejection_carries_field_and_reason_apart() -> None:
    rejected = EventRejected("exclude.3", "must be printable")
    assert (rejected.field, rejected.reason) == ("exclude.3", "must be printable")
    assert str(rejected) == "exclude.3: must be printable"
