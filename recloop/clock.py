"""Time as an argument: aware, in UTC; `now` comes from a clock made at the edge."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

MS_PER_SECOND = 1_000
MS_PER_HOUR = 3_600_000
MS_PER_DAY = 86_400_000


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)


@dataclass
class ManualClock:
    """A clock that moves only when told to, for tests and replays."""

    at: datetime = field(default_factory=lambda: datetime(2022, 5, 1, tzinfo=UTC))

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self.at

    def advance(self, by: timedelta) -> None:
        """Move forward by `by`."""
        self.at += by


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time that carries an offset; return it in UTC.

    >>> parse_time("2022-05-01T12:00:00+02:00")
    datetime.datetime(2022, 5, 1, 10, 0, tzinfo=datetime.timezone.utc)

    Raises:
        ValueError: the text is no time, or has no offset (a naive time could mean any zone).
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write it as 2022-05-01T12:00:00Z")
    return moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds, so that text order is time order.

    >>> format_time(datetime(2022, 5, 1, 12, tzinfo=UTC))
    '2022-05-01T12:00:00.000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_ms(moment: datetime) -> int:
    """Return milliseconds since the epoch, rounded down."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    """Return the time `ms` milliseconds after the epoch."""
    return EPOCH + timedelta(milliseconds=ms)


def day_start(day: date) -> datetime:
    """Return the first moment of a date in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
