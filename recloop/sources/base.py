"""What every source gives, and the one way all of them read tables of text."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

from pydantic import BaseModel, ValidationError

from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import EPOCH, day_start, from_ms
from recloop.errors import SourceError
from recloop.events import Event

LOG = logging.getLogger(__name__)
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

    @property
    def reason(self) -> str:
        """Why the first of them was none; empty without them."""
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
        field = ".".join(map(str, first["loc"])) or "row"
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


@contextmanager
def reading(path: Path, *, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Open a text file, compressed or not, to be read to its end.

    Raises:
        SourceError: the file is missing, cut, corrupt, or its text is in another encoding.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding=encoding, newline="") as stream:
                yield stream
        else:
            with path.open(encoding=encoding, newline="") as stream:
                yield stream
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise SourceError(f"{path} cannot be read to its end: {error}. Copy or download it again.") from error


def read_table(
    path: Path, *, columns: Collection[str], delimiter: str = ",", header: bool = True, encoding: str = "utf-8"
) -> Iterator[tuple[int, Row]]:
    """Yield (line number, row) of a delimited file.

    Its first line names its columns, of which `columns` must be there; without a header `columns` names all fields.
    Only fields between commas may be quoted: other files hold bare quotation marks in titles.

    Raises:
        SourceError: the file cannot be read to its end, is empty, lacks a column, has a quotation mark that nothing
            closes, or a line has another number of fields; the message has file and line.
    """
    with reading(path, encoding=encoding) as stream:
        rows = _split(path, stream, delimiter)
        first = next(rows, None)
        if first is None:
            raise SourceError(f"{path.name} is empty; expected a first line with {', '.join(columns)}.")
        names = first[1] if header else list(columns)
        _check_header(path, names, columns)
        for line, fields in rows if header else chain([first], rows):
            if len(fields) != len(names):
                raise SourceError(
                    f"{path.name} line {line}: found {len(fields)} fields, expected {len(names)}. "
                    "Was the file cut off? Copy it again."
                )
            yield line, dict(zip(names, fields, strict=True))


def _split(path: Path, stream: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    if delimiter != ",":
        for line, text in enumerate(stream, start=1):
            if bare := text.rstrip("\r\n"):
                yield line, bare.split(delimiter)
        return
    reader, line = csv.reader(stream, strict=True), 0
    try:
        for fields in reader:
            line = reader.line_num
            if fields:
                yield line, fields
    except csv.Error as error:
        raise SourceError(f"{path.name} line {line + 1}: {error}. Was the file cut off? Copy it again.") from error


def _check_header(path: Path, found: Collection[str], columns: Collection[str]) -> None:
    missing = [column for column in columns if column not in found]
    if missing:
        raise SourceError(
            f"{path.name} line 1: column {missing[0]} is missing; found {', '.join(found)}. "
            "Is it the file of another data set?"
        )


def first_rows(rows: Iterable[tuple[Path, int, Row]], column: str) -> Iterator[tuple[Path, int, Row]]:
    """Yield the first row of each id of a catalogue; one warning counts the others and names the first of them."""
    seen: set[str] = set()
    found, n_others = "", 0
    for path, line, row in rows:
        if row[column] in seen:
            found, n_others = found or f"{path.name} line {line}: {column} {row[column]!r}", n_others + 1
        else:
            seen.add(row[column])
            yield path, line, row
    if n_others:
        LOG.warning("%s has an earlier row, which counts. Rows left out so: %d.", found, n_others)


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
        SourceError: the file cannot be read to its end, or a line is no such row; the message has file, line and field.
    """
    with reading(path) as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip():
                yield build(model, path, line, _json(path, line, text))


def _json(path: Path, line: int, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SourceError(f"{path.name} line {line} cannot be read: {error}. Correct the line.") from error
