"""Stopping what does not run is no error."""

from __future__ import annotations

import pytest

from recloop.settings import Settings
from stack.down import stop_stack


def test_stopping_a_stopped_stack_says_so_and_succeeds(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert stop_stack(settings) == 0
    assert capsys.readouterr().out == "The stack is stopped.\n"
    assert not settings.var_dir.exists()
