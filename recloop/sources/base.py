"""What every source gives, and the one way all of them read tables of text."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

from pydantic import BaseModel, ValidationError

from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import EPOCH, day_start, from_ms
from recloop.errors import SourceError
from recloop.events import Event

Row = dict[str, str]
Model = TypeVar("Model", bound=BaseModel)


class Source(Protocol):
    """One data set. Event ids are unique and the same at every reading; events come in time order."""

    name: str
    terms: str
    """Under what terms the data may be used, in a sentence or two, shown to the user."""

    utc_offset: timedelta
    """What the source's own calendar is ahead of UTC: where its days begin."""

    repeated: int
    """Events left out of the last reading of `events()` because their id had been seen."""

    @property
    def malformed(self) -> Sequence[bytes]:
        """Lines that were no event at the last reading of `events()`, as they came; most sources have none."""
        ...

    def events(self) -> Iterator[Event]:
        """Yield every event, oldest first."""
        ...

    def items(self) -> Iterator[CatalogItem]:
        """Yield the catalogue, each item once."""
        ...

    def users(self) -> Iterator[CatalogUser]:
        """Yield what is known of users, each once; may be empty."""
        ...


def moment(source: Source, given: date | datetime, *, ends: bool = False) -> datetime:
    """Return a moment as it is, of a day its beginning in the source's calendar; with `ends` its end."""
    if isinstance(given, datetime):
        return given
    return day_start(given + timedelta(days=int(ends))) - source.utc_offset


def build(model: type[Model], path: Path, line: int, fields: dict[str, Any]) -> Model:
    """Return a row of a file as an event, an item or a user.

    Raises:
        SourceError: a field is not what the model allows; the message has file, line and field.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise SourceError(f"{path.name} line {line}, {field}: {first['msg']}; found {first['input']!r}.") from error


def time_of(path: Path, line: int, row: Row, column: str, *, unit_ms: int = 1) -> datetime:
    """Return the time a row gives as a count of milliseconds since 1970, or of another unit.

    Raises:
        SourceError: it is no whole number, or no time between 1970 and the end of the calendar.
    """
    count = number(path, line, row, column)
    try:
        moment = from_ms(count * unit_ms)
    except OverflowError:
        moment = EPOCH - timedelta(days=1)
    if moment < EPOCH:
        raise SourceError(
            f"{path.name} line {line}, column {column}: found {row[column]!r}, expected a time from 1970."
        )
    return moment


def shift_event(event: Event, offset: timedelta) -> Event:
    """Return the event moved in time."""
    return event.model_copy(update={"event_time": event.event_time + offset})


def shift_item(item: CatalogItem, offset: timedelta) -> CatalogItem:
    """Return the item with its publication moved as the events were, so that its age stays true."""
    return item.model_copy(update={"published_at": _moved(item.published_at, offset)})


def _moved(moment: datetime | None, offset: timedelta) -> datetime | None:
    return None if moment is None else moment + offset


def open_text(path: Path) -> TextIO:
    """Open a text file, compressed or not."""
    if path.suffix == ".gz":
        return TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def read_table(path: Path, *, columns: Collection[str], delimiter: str = ",") -> Iterator[tuple[int, Row]]:
    """Yield (line number, row) of a delimited file whose first line names its columns.

    Raises:
        SourceError: the file is missing, empty, truncated, no UTF-8, lacks a column, or a line has another number of
            fields; the message has file, line and column.
    """
    try:
        with open_text(path) as stream:
            # Tab-separated files hold bare quotation marks in titles; CSV ones quote fields that hold commas.
            reader = csv.DictReader(
                stream, delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
            )
            _check_header(path, reader.fieldnames or (), columns)
            line = 1
            for row in reader:
                line = reader.line_num
                if None in row or None in row.values():
                    found = len([value for value in row.values() if value is not None])
                    raise SourceError(
                        f"{path.name} line {line}: found {found} fields, expected {len(reader.fieldnames or ())}. "
                        "Was the file cut off? Copy it again."
                    )
                yield line, row
    except (EOFError, OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read to its end: {error}. Copy or download it again.") from error


def _check_header(path: Path, found: Collection[str], columns: Collection[str]) -> None:
    if not found:
        raise SourceError(f"{path.name} is empty; expected a first line with {', '.join(columns)}.")
    missing = [column for column in columns if column not in found]
    if missing:
        raise SourceError(
            f"{path.name} line 1: column {missing[0]} is missing; found {', '.join(found)}. "
            "Is it the file of another data set?"
        )


def number(path: Path, line: int, row: Row, column: str) -> int:
    """Return a whole number from a row; `87433.0` counts as one.

    Raises:
        SourceError: the field holds none; the message has file, line and column.
    """
    text = row[column]
    try:
        value = float(text)
        if value != int(value):
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise SourceError(
            f"{path.name} line {line}, column {column}: found {text!r}, expected a whole number."
        ) from error
    return int(value)


def read_json_lines(path: Path, model: type[Model]) -> Iterator[Model]:
    """Yield the rows of a JSON Lines file as models.

    Raises:
        SourceError: the file is truncated or a line is no such row; the message has file, line and field.
    """
    line = 1
    try:
        with open_text(path) as stream:
            for text in stream:
                if text.strip():
                    yield model.model_validate(json.loads(text))
                line += 1
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise SourceError(
            f"{path.name} line {line}, field {field}: {first['msg']}; found {first['input']!r}."
        ) from error
    except (EOFError, OSError, ValueError) as error:
        raise SourceError(f"{path.name} line {line} cannot be read: {error}. Correct the line.") from error
