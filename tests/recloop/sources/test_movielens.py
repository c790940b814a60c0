"""MovieLens-100K; the tests that read it fetch the wheel once, as the demo does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from recloop.errors import SourceError
from recloop.settings import PROJECT_DIR
from recloop.sources.movielens import MovieLens, group_of_age


@pytest.fixture(scope="module")
def source() -> MovieLens:
    return MovieLens(PROJECT_DIR / "var" / "data")


@pytest.mark.parametrize(("age", "group"), [(17, "under 18"), (18, "18-24"), (49, "45-49"), (56, "56 and over")])
def test_age_groups_are_those_of_movielens_1m(age: int, group: str) -> None:
    assert group_of_age(age) == group


@pytest.mark.slow
def test_ratings_become_saves_clicks_and_hides(source: MovieLens) -> None:
    # Ratings 1 to 5 of the data set: 6,110 + 11,370 + 27,145 + 34,174 + 21,201
    counts = Counter(event.action for event in source.events())
    assert counts == {"hide": 6_110 + 11_370, "click": 27_145, "save": 34_174 + 21_201}


@pytest.mark.slow
def test_catalogue_is_whole(source: MovieLens) -> None:
    items = {item.item_id: item for item in source.items()}
    assert (len(items), len(list(source.users()))) == (1_682, 943)
    assert items["1"].title == "Toy Story"
    assert items["1"].categories == ("Animation", "Children's", "Comedy")


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
        list(MovieLens(tmp_path).events())
    assert list((tmp_path / "ml-100k").iterdir()) == []


@pytest.mark.slow
def test_fetching_again_needs_nothing(source: MovieLens) -> None:
    before = sorted(path.stat().st_mtime_ns for path in (PROJECT_DIR / "var" / "data" / "ml-100k").iterdir())
    next(iter(source.items()))
    assert sorted(path.stat().st_mtime_ns for path in (PROJECT_DIR / "var" / "data" / "ml-100k").iterdir()) == before
