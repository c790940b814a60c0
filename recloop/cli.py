"""The edge of every command: logging, and errors without a traceback."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from recloop.clock import parse_time
from recloop.errors import RecloopError


def run(command: Callable[[], int]) -> int:
    """Run a command's body; a RecloopError becomes one message on stderr and exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # It tells of every request; what polls a health page would bury its own messages.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        return command()
    except RecloopError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def time_argument(text: str) -> datetime:
    """Parse `--start 2022-05-01T00:00:00Z`; a bare date means its first moment."""
    try:
        return parse_time(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def day_or_time(text: str) -> date | datetime:
    """Parse `--to 2022-05-04` as a day and `2022-05-04T12:00:00Z` as a moment."""
    try:
        return parse_time(text) if "T" in text else date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; expected a date as 2022-05-04 or a time as RFC 3339") from error


def add_interval(parser: argparse.ArgumentParser) -> None:
    """Add `--start` and `--end`, the half-open interval a job works on, and `--date` for one whole day."""
    first = parser.add_argument(
        "--start", type=time_argument, required=True, help="first moment (RFC 3339 or a date, UTC)"
    )
    last = parser.add_argument("--end", type=time_argument, required=True, help="end, itself not included")
    parser.add_argument("--date", type=time_argument, action=_Day, first=first, last=last, help="that day, whole")


def add_end(parser: argparse.ArgumentParser, option: str, *, help: str) -> None:
    """Add `option`, the moment up to which a job reads, and `--date` for the end of a day."""
    last = parser.add_argument(option, type=time_argument, required=True, help=help)
    parser.add_argument("--date", type=time_argument, action=_Day, last=last, help="up to the end of that day")


class _Day(argparse.Action):
    """Stands for the options that it fills in, which are then no longer required."""

    def __init__(self, *args: Any, last: argparse.Action, first: argparse.Action | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self._first, self._last = first, last

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        for action, moment in ((self._first, values), (self._last, values + timedelta(days=1))):
            if action is not None:
                setattr(namespace, action.dest, moment)
                action.required = False
