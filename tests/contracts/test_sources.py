"""One contract over every data source."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloop.errors import SourceError
from recloop.events import Event, parse_event
from recloop.settings import PROJECT_DIR
from recloop.sources import Source, open_source
from recloop.sources.base import shift_event
from tests.recloop.sources.conftest import (
    ARCHIVES,
    write_archive,
    write_event_files,
    write_kuairand,
    write_like_or_hate,
)

LATER = datetime(2100, 1, 1, tzinfo=UTC)
SHARED = PROJECT_DIR.parent / "shared" / "data"

Open = Callable[[Path], Source]
Told = tuple[list[bytes], str, int]
SOURCES = [
    pytest.param(lambda path: open_source(f"kuairand:{write_kuairand(path)}", downloads=path), id="kuairand"),
    pytest.param(lambda path: open_source(f"kuairand:{write_like_or_hate(path)}", downloads=path), id="like-or-hate"),
    pytest.param(lambda path: open_source(f"events:{write_event_files(path)}", downloads=path), id="events"),
    *(
        pytest.param(
            lambda path, name=name: open_source(f"movielens:{write_archive(path, name)}", downloads=path), id=name
        )
        for name in ARCHIVES
    ),
    pytest.param(
        lambda path: open_source("movielens", downloads=PROJECT_DIR / "var" / "data"),
        id="movielens",
        marks=pytest.mark.slow,
    ),
    *(
        pytest.param(
            lambda path, folder=folder: open_source(f"kuairand:{folder}", downloads=path),
            id=f"{folder.name}-part",
            marks=[pytest.mark.slow, pytest.mark.skipif(not folder.is_dir(), reason=f"{folder.name} is not here")],
        )
        for folder in (SHARED / "kuairand", SHARED / "kuairand-like-hate")
    ),
]


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    opened: Source = request.param(tmp_path_factory.mktemp("source"))
    return opened


@dataclass(frozen=True)
class Reading:
    """What is asked of a million events, without the events; and what the source tells of that reading."""

    ids: list[str]
    times: list[datetime]
    items: set[str]
    sample: list[Event]
    told: Told


def told(source: Source) -> Told:
    return list(source.malformed), source.reason, source.repeated


@pytest.fixture(scope="module")
def reading(source: Source) -> Reading:
    """The first reading: one of a published log takes half a minute."""
    ids, times, items, sample = list[str](), list[datetime](), set[str](), list[Event]()
    for place, event in enumerate(source.events()):
        ids.append(event.event_id)
        times.append(event.event_time)
        items.add(event.item_id)
        if place < 500 or place % 2_000 == 0:
            sample.append(event)
    return Reading(ids, times, items, sample, told(source))


def test_source_keeps_the_contract(source: Source, reading: Reading) -> None:
    items = {item.item_id for item in source.items()}
    users = [user.user_id for user in source.users()]
    assert reading.ids
    assert len(set(reading.ids)) == len(reading.ids)
    assert all(a <= b for a, b in itertools.pairwise(reading.times))
    assert reading.items <= items
    assert len(set(users)) == len(users)
    assert source.name
    assert source.terms
    assert [parse_event(event.to_json(), received_at=LATER) for event in reading.sample] == reading.sample


def test_two_readings_are_the_same(source: Source, reading: Reading) -> None:
    assert [event.event_id for event in source.events()] == reading.ids
    assert told(source) == reading.told
    assert bool(source.malformed) == bool(source.reason)


def test_shifting_keeps_the_rhythm(tmp_path: Path) -> None:
    events = list(open_source(f"kuairand:{write_kuairand(tmp_path)}", downloads=tmp_path).events())
    shifted = [shift_event(event, timedelta(days=1_000)) for event in events]
    gaps = [later.event_time - event.event_time for event, later in zip(events, shifted, strict=True)]
    assert set(gaps) == {timedelta(days=1_000)}


@pytest.mark.parametrize("name", ["netflix", "kuairand", "kuairand:nowhere", "movielens:folder", "movielens:", ""])
def test_unknown_source_or_folder_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        open_source(name, downloads=tmp_path)
