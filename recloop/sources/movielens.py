"""MovieLens-100K, read out of the PyPI wheel `recbole`, which is downloaded and never installed.

100,000 dated ratings of 943 users and 1,682 films, 1997-1998. A rating from 4 on is a save, 3 a click, 2 or less a
hide. There are no impressions: every rating is an organic interaction.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import MS_PER_SECOND
from recloop.errors import SourceError
from recloop.events import Action, Event
from recloop.settings import PROJECT_DIR
from recloop.sources.base import number, read_table, time_of

WHEEL = "recbole==1.2.1"
FOLDER = "recbole/dataset_example/ml-100k"
FILES = ("ml-100k.inter", "ml-100k.item", "ml-100k.user")
AGE_GROUPS = ((18, "under 18"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (50, "45-49"), (56, "50-55"))


class MovieLens:
    """The adapter; fetches the data set into `downloads` when it is not there yet."""

    name = "MovieLens-100K"
    malformed: Sequence[bytes] = ()
    reason = ""
    utc_offset = timedelta(0)
    terms = (
        "MovieLens-100K, GroupLens Research, University of Minnesota: research use, no redistribution, no commercial "
        "use without permission; cite Harper and Konstan (2015), doi 10.1145/2827872."
    )

    def __init__(self, downloads: Path) -> None:
        self._folder = downloads / "ml-100k"
        self.repeated = 0

    def events(self) -> Iterator[Event]:
        """Yield one event per rating."""
        path = self._fetch() / "ml-100k.inter"
        columns = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
        rows = []
        for line, row in read_table(path, columns=columns, delimiter="\t"):
            moment = time_of(path, line, row, columns[3], unit_ms=MS_PER_SECOND)
            user, item, rating = (number(path, line, row, column) for column in columns[:3])
            rows.append((moment, user, item, rating))
        for moment, user, item, rating in sorted(rows):
            action = Action.SAVE if rating >= 4 else Action.CLICK if rating == 3 else Action.HIDE
            yield Event(
                event_id=f"ml-{user}-{item}",
                event_time=moment,
                action=action,
                user_id=str(user),
                item_id=str(item),
            )

    def items(self) -> Iterator[CatalogItem]:
        """Yield the films; genres are categories, the first day of the release year is the publication."""
        path = self._fetch() / "ml-100k.item"
        columns = ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")
        for _, row in read_table(path, columns=columns, delimiter="\t"):
            year = row[columns[2]]
            yield CatalogItem(
                item_id=row[columns[0]],
                title=row[columns[1]],
                categories=tuple(row[columns[3]].split()),
                published_at=datetime(int(year), 1, 1, tzinfo=UTC) if year.isdigit() else None,
            )

    def users(self) -> Iterator[CatalogUser]:
        """Yield the users; a segment is gender and age group."""
        path = self._fetch() / "ml-100k.user"
        columns = ("user_id:token", "age:token", "gender:token", "occupation:token")
        for line, row in read_table(path, columns=columns, delimiter="\t"):
            age_group = group_of_age(number(path, line, row, columns[1]))
            yield CatalogUser(
                user_id=row[columns[0]],
                segment=f"{row[columns[2]]} {age_group}",
                age_group=age_group,
                gender=row[columns[2]],
                attributes={"occupation": row[columns[3]]},
            )

    def _fetch(self) -> Path:
        if not all((self._folder / name).exists() for name in FILES):
            self._folder.mkdir(parents=True, exist_ok=True)
            _extract(_download(self._folder), self._folder)
        return self._folder


def group_of_age(age: int) -> str:
    """Return the age group, with MovieLens-1M's bounds.

    >>> group_of_age(24), group_of_age(25), group_of_age(73)
    ('18-24', '25-34', '56 and over')
    """
    return next((group for bound, group in AGE_GROUPS if age < bound), "56 and over")


def _download(folder: Path) -> Path:
    # The environments are made by uv and hold no pip, nor does every machine's Python: uv's own environment does.
    own = PROJECT_DIR / "var" / "uv" / "bin" / "python"
    interpreter = str(own) if own.exists() else getattr(sys, "_base_executable", sys.executable)
    command = [interpreter, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("recbole-*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise SourceError(f"{WHEEL} cannot be downloaded from the package registry: {reason}. Is there a network?")
    return wheels[0]


def _extract(wheel: Path, folder: Path) -> None:
    try:
        with ZipFile(wheel) as archive:
            for name in FILES:
                # Under a temporary name first: a run killed here leaves no half file that looks whole.
                part = folder / f"{name}.part"
                part.write_bytes(archive.read(f"{FOLDER}/{name}"))
                part.rename(folder / name)
    except (BadZipFile, KeyError) as error:
        wheel.unlink()
        raise SourceError(f"{wheel.name} is not the wheel that holds MovieLens-100K: {error}. Run again.") from error
    wheel.unlink()
