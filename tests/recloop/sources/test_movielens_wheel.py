"""MovieLens-100K out of the wheel; the tests that read it fetch the wheel once, as the demo does."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloop.errors import SourceError
from recloop.settings import PROJECT_DIR
from recloop.sources.movielens_wheel import MovieLensWheel


@pytest.fixture(scope="module")
def source() -> MovieLensWheel:
    return MovieLensWheel(PROJECT_DIR / "var" / "data")


@pytest.mark.slow
def test_ratings_become_saves_clicks_and_hides(source: MovieLensWheel) -> None:
    # Ratings 1 to 5 of the data set: 6,110 + 11,370 + 27,145 + 34,174 + 21,201
    counts = Counter(event.action for event in source.events())
    assert counts == {"hide": 6_110 + 11_370, "click": 27_145, "save": 34_174 + 21_201}


@pytest.mark.slow
def test_catalogue_is_whole(source: MovieLensWheel) -> None:
    items = {item.item_id: item for item in source.items()}
    assert (len(items), len(list(source.users()))) == (1_682, 943)
    assert items["1"].title == "Toy Story"
    assert items["1"].categories == ("Animation", "Children's", "Comedy")
    assert items["1"].published_at == datetime(1995, 1, 1, tzinfo=UTC)


def test_columns_of_the_wheel_are_those_of_the_archives(tmp_path: Path) -> None:
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    for name, rows in {
        "inter": [
            "user_id:token\titem_id:token\trating:float\ttimestamp:float",
            "7\t1\t4\t890000001",
            "9\t1\t3.0\t890000000",
        ],
        "item": [
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
            '1\tKite "Weather"\t1995\tDrama War',
            "2\tunknown\tV\t",
        ],
        "user": ["user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token", "7\t24\tF\tartist\t00001"],
    }.items():
        (folder / f"ml-100k.{name}").write_text("\n".join([*rows, ""]))
    source = MovieLensWheel(tmp_path)
    assert [(event.event_id, event.action) for event in source.events()] == [("ml-9-1", "click"), ("ml-7-1", "save")]
    assert [(item.title, item.categories, item.published_at) for item in source.items()] == [
        ('Kite "Weather"', ("Drama", "War"), datetime(1995, 1, 1, tzinfo=UTC)), ("unknown", (), None),
    ]  # fmt: skip
    (user,) = source.users()
    assert (user.segment, user.attributes) == ("F 18-24", {"occupation": "artist"})


def test_no_registry_is_one_message_and_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 of this machine: nobody answers there.
    for name, value in {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(SourceError, match=r"recbole==1\.2\.1 cannot be downloaded .* Is there a network\?"):
        list(MovieLensWheel(tmp_path).events())
    assert list((tmp_path / "ml-100k").iterdir()) == []


@pytest.mark.slow
def test_fetching_again_needs_nothing(source: MovieLensWheel) -> None:
    before = sorted(path.stat().st_mtime_ns for path in (PROJECT_DIR / "var" / "data" / "ml-100k").iterdir())
    next(iter(source.items()))
    assert sorted(path.stat().st_mtime_ns for path in (PROJECT_DIR / "var" / "data" / "ml-100k").iterdir()) == before
