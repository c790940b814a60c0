"""Adapters of real data sets: one module per source, all giving the same three streams.

`open_source("movielens")`, `open_source("movielens:DIR")`, `open_source("kuairand:DIR")`, `open_source("events:DIR")`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from recloop.errors import SourceError
from recloop.sources.base import Source
from recloop.sources.event_files import EventFiles
from recloop.sources.kuairand import KuaiRand
from recloop.sources.movielens import MovieLens
from recloop.sources.movielens_wheel import MovieLensWheel

__all__ = ["FORMS", "Source", "open_source"]

FORMS = "movielens, movielens:DIR, kuairand:DIR or events:DIR"


def open_source(name: str, *, downloads: Path) -> Source:
    """Return the adapter a name asks for; reads nothing yet.

    Args:
        name: one of FORMS.
        downloads: folder for what a source fetches.

    Raises:
        SourceError: the name has another form, or its folder does not exist.
    """
    if name == "movielens":
        return MovieLensWheel(downloads)
    kind, _, folder = name.partition(":")
    adapters: dict[str, Callable[[Path], Source]] = {
        "movielens": MovieLens, "kuairand": KuaiRand, "events": EventFiles,
    }  # fmt: skip
    if kind not in adapters or not folder:
        raise SourceError(f"data source {name!r} is unknown; expected {FORMS}.")
    directory = Path(folder).expanduser()
    if not directory.is_dir():
        raise SourceError(f"{directory} is no folder; {kind}:DIR needs the folder that holds its files.")
    return adapters[kind](directory)
