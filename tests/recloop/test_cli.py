from __future__ import annotations

import argparse
from datetime import UTC, datetime

import pytest

from recloop.cli import run, time_argument
from recloop.errors import SourceError


def test_known_error_is_one_message_and_exit_code_one(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise SourceError("log.csv line 3: found 'x'")

    assert run(command) == 1
    assert capsys.readouterr().err.strip() == "SourceError: log.csv line 3: found 'x'"


def test_other_errors_keep_their_traceback() -> None:
    def command() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(command)


def test_bare_date_is_its_first_moment() -> None:
    assert time_argument("2022-05-01") == datetime(2022, 5, 1, tzinfo=UTC)


def test_naive_time_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="UTC offset"):
        time_argument("2022-05-01T10:00:00")
