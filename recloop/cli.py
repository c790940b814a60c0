"""The edge of every command: logging, and errors without a traceback."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from datetime import datetime

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


def add_interval(parser: argparse.ArgumentParser) -> None:
    """Add `--start` and `--end`, the half-open interval `[start, end)` a job works on."""
    parser.add_argument("--start", type=time_argument, required=True, help="first moment (RFC 3339 or a date, UTC)")
    parser.add_argument("--end", type=time_argument, required=True, help="end, itself not included")
