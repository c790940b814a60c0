"""A command in a process of its own: what it says last, and what is said when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.commands import last_line
from recloop.errors import ComponentUnavailable


def test_object_of_the_last_line_is_returned(tmp_path: Path) -> None:
    (tmp_path / "lines.json").write_text('{"said": "before"}\n{"rows_in": 3}\n')
    options = ["--json-lines", "--compact", str(tmp_path / "lines.json")]
    assert last_line("json.tool", options) == {"rows_in": 3}


def test_command_that_failed_is_named_with_its_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ComponentUnavailable, match=r"python -m training\.train ended with exit code 2; it says why"):
        last_line("training.train", ["--data", "movielens"])
    assert "the following arguments are required: --out" in capfd.readouterr().err
