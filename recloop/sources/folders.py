"""Where the files of a data set lie: in the folder that was named, or in the one below it that an archive makes."""

from __future__ import annotations

import os.path
from collections.abc import Callable
from pathlib import Path

from recloop.errors import SourceError


def find_home(folder: Path, holds: Callable[[Path], bool]) -> Path:
    """Return the folder itself if it holds the files, else the one folder that does, at most two levels below.

    Where none does it is the folder itself, for whoever looks into it to say what is missing.

    Raises:
        SourceError: several folders of one level hold such files.
    """
    for level in ([folder], folder.glob("*/"), folder.glob("*/*/")):
        homes = sorted(path for path in level if holds(path))
        if len(homes) > 1:
            raise SourceError(f"{folder} holds {len(homes)} data sets: {', '.join(map(str, homes))}. Name one of them.")
        if homes:
            return homes[0]
    return folder


def find_file(folder: Path, name: str) -> Path | None:
    """Return the file of a name, or else of that name and `.gz`; None where there is neither."""
    # A folder that may not be read, as a disk's lost+found, makes Path.is_file raise.
    return next((path for path in (folder / name, folder / f"{name}.gz") if os.path.isfile(path)), None)
