"""MovieLens (Harper and Konstan, TiiS 2015): dated ratings of films, in the archives that GroupLens publishes.

There are no impressions: every rating is an organic interaction. docs/events.md says which; half a star more than a
whole number changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import MS_PER_SECOND, from_ms, to_ms
from recloop.errors import SourceError
from recloop.events import Action, Event
from recloop.sources.base import Row, build, first_rows, number, read_table, time_of
from recloop.sources.folders import find_file, find_home
from recloop.sources.packed import Codes, PackedRows

RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
MOVIE_COLUMNS = ("movieId", "title", "genres")
ACTIONS = (Action.HIDE, Action.CLICK, Action.SAVE)
"""What a rating becomes: of less than 3 stars, less than 4, and from 4 on."""

NO_GENRES, UNKNOWN_GENRE = "(no genres listed)", "unknown"
AGE_GROUPS = ((18, "under 18"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (50, "45-49"), (56, "50-55"))
MAX_DIGITS = 18
FIRST_RATING = datetime(1995, 1, 1, tzinfo=UTC)
"""No archive has an older one; a count of seconds that lost its last digits looks like one."""

YEAR = re.compile(r"\((1[89]\d\d|20\d\d)(?:[-–] ?(?:\d{4})?)?\) *$")
"""The year at the end of a title; of a series, from 1975 to 1979 or to this day, the first."""

Rows = Iterator[tuple[Path, int, Row]]


class _Table(NamedTuple):
    """A file of an archive, plain or gzipped; without a header `columns` names all its fields."""

    name: str
    columns: tuple[str, ...]
    delimiter: str = ","
    encoding: str = "utf-8"
    header: bool = False


class _Layout(NamedTuple):
    ratings: _Table
    movies: _Table
    users: _Table | None = None
    genres: _Table | None = None
    """Names the columns of `movies` that come after its own: each is 1 where the film is of that genre."""

    half_stars: bool = True


CSV = _Layout(
    _Table("ratings.csv", RATING_COLUMNS, header=True),
    _Table("movies.csv", MOVIE_COLUMNS, header=True),
)
ML_10M = _Layout(
    _Table("ratings.dat", RATING_COLUMNS, "::"),
    _Table("movies.dat", MOVIE_COLUMNS, "::"),
)
ML_1M = _Layout(
    _Table("ratings.dat", RATING_COLUMNS, "::", "latin-1"),
    _Table("movies.dat", MOVIE_COLUMNS, "::", "latin-1"),
    _Table("users.dat", ("userId", "gender", "age", "occupation", "zip-code"), "::", "latin-1"),
    half_stars=False,
)
ML_100K = _Layout(
    _Table("u.data", RATING_COLUMNS, "\t", "latin-1"),
    _Table("u.item", ("movieId", "title", "released", "released on video", "url"), "|", "latin-1"),
    _Table("u.user", ("userId", "age", "gender", "occupation", "zip-code"), "|", "latin-1"),
    _Table("u.genre", ("genre", "place"), "|", "latin-1"),
    half_stars=False,
)
LAYOUTS = {"u.data": ML_100K, "users.dat": ML_1M, "ratings.dat": ML_10M, "ratings.csv": CSV}
"""What each file says of a folder, the first that is there."""


class MovieLens:
    """The adapter of a folder with an extracted archive, or with the one folder that an archive makes.

    Reads ml-100k (`u.data`, `u.item`, `u.genre`, `u.user`), ml-1m (`ratings.dat`, `movies.dat`, `users.dat`), ml-10m
    (without `users.dat`), and ml-20m, -25m, -32m, -latest and -latest-small (`ratings.csv`, `movies.csv`), each file
    plain or gzipped; no tags, links or genome. Of several rows for a film or a user, or of a user for a film, the first
    counts. A film that has no row is known by its id.
    """

    name = "MovieLens"
    malformed: Sequence[bytes] = ()
    reason = ""
    utc_offset = timedelta(0)
    terms = (
        "MovieLens, GroupLens Research, University of Minnesota: research use, no commercial use without permission; "
        "the archive's README says whether it may be passed on; cite Harper and Konstan (2015), doi 10.1145/2827872."
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.repeated = 0

    def events(self) -> Iterator[Event]:
        """Yield one event per rating, oldest first; of one second in the order of the file.

        Reads the file to its end before the first event. Holds rows, not events: 17 bytes each and every id once.
        """
        rows, codes = PackedRows(_Rating._make, "qIIB"), Codes()
        half_stars = self._half_stars
        rows.extend(_rating(path, line, row, codes, half_stars=half_stars) for path, line, row in self._ratings())
        counts, ids = _firsts(rows), [str(value) for value in codes]
        self.repeated = len(counts) - int(counts.sum())
        for place in rows.by_time():
            if counts[place]:
                time_ms, user, movie, action = rows[place]
                yield Event(
                    event_id=f"ml-{ids[user]}-{ids[movie]}",
                    event_time=from_ms(time_ms),
                    action=ACTIONS[action],
                    user_id=ids[user],
                    item_id=ids[movie],
                )

    def items(self) -> Iterator[CatalogItem]:
        """Yield the films; genres are categories, and the publication is the release or the first day of its year."""
        for path, line, row in first_rows(self._movies(), "movieId"):
            genres = [genre for genre in row["genres"].split("|") if genre != NO_GENRES]
            published = _published(path, line, row)
            fields = {"item_id": row["movieId"], "title": row["title"], "categories": genres, "published_at": published}
            yield build(CatalogItem, path, line, fields)

    def users(self) -> Iterator[CatalogUser]:
        """Yield the users of the archives that know them; a segment is gender and age group."""
        for path, line, row in first_rows(self._people(), "userId"):
            age_group = group_of_age(number(path, line, row, "age"))
            fields = {
                "user_id": row["userId"],
                "segment": f"{row['gender']} {age_group}",
                "age_group": age_group,
                "gender": row["gender"],
                "attributes": {"occupation": row["occupation"]},
            }
            yield build(CatalogUser, path, line, fields)

    @property
    def _half_stars(self) -> bool:
        return self._layout.half_stars

    def _ratings(self) -> Rows:
        return self._rows(self._layout.ratings)

    def _movies(self) -> Rows:
        layout = self._layout
        if layout.genres is None:
            yield from self._rows(layout.movies)
            return
        genres = [row["genre"] for _, _, row in self._rows(layout.genres)]
        columns = (*layout.movies.columns, *genres)
        for path, line, row in self._rows(layout.movies._replace(columns=columns)):
            yield path, line, row | {"genres": _flagged(path, line, row, genres)}

    def _people(self) -> Rows:
        users = self._layout.users
        return iter(()) if users is None else self._rows(users)

    def _rows(self, table: _Table) -> Rows:
        path = find_file(self._home, table.name)
        if path is None:
            raise SourceError(f"{self._home} has no {table.name} or {table.name}.gz; expected the whole archive there.")
        _, columns, delimiter, encoding, header = table
        rows = read_table(path, columns=columns, delimiter=delimiter, encoding=encoding, header=header)
        yield from ((path, line, row) for line, row in rows)

    @cached_property
    def _home(self) -> Path:
        return find_home(self._folder, lambda folder: bool(_layouts(folder)))

    @cached_property
    def _layout(self) -> _Layout:
        found = _layouts(self._home)
        if not found:
            raise SourceError(
                f"{self._home} has none of {', '.join(LAYOUTS)}, plain or .gz; expected an archive of GroupLens, "
                "extracted there."
            )
        if len(found) > 1:
            ratings = ", ".join(layout.ratings.name for layout in found)
            raise SourceError(f"{self._home} holds the ratings of {len(found)} archives, {ratings}; keep those of one.")
        return found[0]


class _Rating(NamedTuple):
    """User and movie are codes of their ids, the action a place in ACTIONS."""

    time_ms: int
    user: int
    movie: int
    action: int


def group_of_age(age: int) -> str:
    """Return the age group, with the bounds of ml-1m, where a group's code is its youngest age.

    >>> group_of_age(24), group_of_age(25), group_of_age(73)
    ('18-24', '25-34', '56 and over')
    """
    return next((group for bound, group in AGE_GROUPS if age < bound), "56 and over")


def _layouts(folder: Path) -> list[_Layout]:
    found: dict[str, _Layout] = {}
    for name, layout in LAYOUTS.items():
        if find_file(folder, name):
            found.setdefault(layout.ratings.name, layout)
    return list(found.values())


def _rating(path: Path, line: int, row: Row, codes: Codes, *, half_stars: bool) -> _Rating:
    return _Rating(
        time_ms=_time_ms(path, line, row),
        user=codes[_id(path, line, row, "userId")],
        movie=codes[_id(path, line, row, "movieId")],
        action=_action(path, line, row, half_stars=half_stars),
    )


def _time_ms(path: Path, line: int, row: Row) -> int:
    moment = time_of(path, line, row, "timestamp", unit_ms=MS_PER_SECOND)
    if moment < FIRST_RATING:
        raise SourceError(
            f"{path.name} line {line}, column timestamp: found {row['timestamp']!r}, expected the seconds from 1970 to "
            f"a time after {FIRST_RATING.year - 1}. Was the file cut off? Copy it again."
        )
    return to_ms(moment)


def _id(path: Path, line: int, row: Row, column: str) -> str:
    text = row[column]
    if not (text.isdecimal() and len(text) <= MAX_DIGITS):
        raise SourceError(
            f"{path.name} line {line}, column {column}: found {text!r}, expected a whole number of up to {MAX_DIGITS} "
            "digits."
        )
    return text


def _action(path: Path, line: int, row: Row, *, half_stars: bool) -> int:
    """Return what a rating stands for, as a place in ACTIONS."""
    least = 0.5 if half_stars else 1
    try:
        stars = float(row["rating"])
    except ValueError:
        stars = 0
    if not (least <= stars <= 5 and stars % least == 0):
        raise SourceError(
            f"{path.name} line {line}, column rating: found {row['rating']!r}, expected {least} to 5 stars in steps of "
            f"{least}."
        )
    return 2 if stars >= 4 else 1 if stars >= 3 else 0


def _firsts(ratings: PackedRows[_Rating]) -> NDArray[np.bool_]:
    """Tell which ratings are the first in the file of their user and film."""
    pairs = ratings.column(1).astype(np.uint64)
    pairs <<= 32
    pairs |= ratings.column(2)
    _, places = np.unique(pairs, return_index=True)
    firsts = np.zeros(len(pairs), dtype=np.bool_)
    firsts[places] = True
    return firsts


def _flagged(path: Path, line: int, row: Row, genres: Sequence[str]) -> str:
    """Return the genres whose column is 1, as the other archives write them."""
    for genre in genres:
        if row[genre] not in ("0", "1"):
            raise SourceError(f"{path.name} line {line}, column {genre}: found {row[genre]!r}, expected 0 or 1.")
    return "|".join(genre for genre in genres if row[genre] == "1" and genre != UNKNOWN_GENRE) or NO_GENRES


def _published(path: Path, line: int, row: Row) -> datetime | None:
    released = row.get("released", "")
    if not released:
        year = YEAR.search(row["title"])
        return datetime(int(year[1]), 1, 1, tzinfo=UTC) if year else None
    try:
        return datetime.strptime(released, "%d-%b-%Y").replace(tzinfo=UTC)
    except ValueError as error:
        raise SourceError(
            f"{path.name} line {line}, column released: found {released!r}, expected a date as 01-Jan-1995."
        ) from error
