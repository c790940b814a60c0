from __future__ import annotations

import argparse
from datetime import UTC, datetime

import pytest

from recloop.cli import add_end, add_interval, run, time_argument
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


def test_date_stands_for_the_whole_day() -> None:
    parser = argparse.ArgumentParser()
    add_interval(parser)
    assert parser.parse_args(["--date", "2022-05-31"]) == argparse.Namespace(
        start=datetime(2022, 5, 31, tzinfo=UTC), end=datetime(2022, 6, 1, tzinfo=UTC), date=None
    )


def test_date_stands_for_the_end_of_the_day_where_only_an_end_is_asked_for() -> None:
    parser = argparse.ArgumentParser()
    add_end(parser, "--until", help="")
    assert parser.parse_args(["--date", "2022-05-31"]).until == datetime(2022, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("options", [[], ["--start", "2022-05-31"], ["--end", "2022-05-31"]])
def test_without_a_date_both_ends_are_required(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_interval(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(options)
    assert "required" in capsys.readouterr().err
