from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloop.catalog import CatalogItem
from recloop.errors import SourceError
from recloop.sources.base import build, number, read_table, shift_item, time_of


def test_line_with_too_few_fields_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n3\n")
    with pytest.raises(SourceError, match=r"a\.csv line 3: found 1 fields, expected 2"):
        list(read_table(path, columns=("x",)))


def test_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    with pytest.raises(SourceError, match=r"a\.csv is empty"):
        list(read_table(path, columns=("x",)))


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x\n\xff\xfe\n")
    with pytest.raises(SourceError, match="cannot be read to its end"):
        list(read_table(path, columns=("x",)))


@pytest.mark.parametrize(("text", "expected"), [("7", 7), ("87433.0", 87433), ("-1", -1)])
def test_whole_numbers_are_read(text: str, expected: int) -> None:
    assert number(Path("a.csv"), 2, {"x": text}, "x") == expected


@pytest.mark.parametrize("text", ["", "x", "1.5", "nan", "inf"])
def test_other_texts_are_no_whole_number(text: str) -> None:
    with pytest.raises(SourceError, match=r"a\.csv line 2, column x"):
        number(Path("a.csv"), 2, {"x": text}, "x")


def test_count_of_seconds_is_a_time() -> None:
    moment = time_of(Path("a.csv"), 2, {"t": "86400"}, "t", unit_ms=1_000)
    assert moment == datetime(1970, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("text", ["-1", "99999999999999999"])
def test_time_outside_the_calendar_is_named(text: str) -> None:
    with pytest.raises(SourceError, match=r"a\.csv line 2, column t: found .* expected a time from 1970"):
        time_of(Path("a.csv"), 2, {"t": text}, "t")


def test_field_the_model_refuses_is_named() -> None:
    with pytest.raises(SourceError, match=r"a\.csv line 7, item_id: .*; found ''"):
        build(CatalogItem, Path("a.csv"), 7, {"item_id": ""})


def test_unknown_publication_stays_unknown_when_shifted() -> None:
    assert shift_item(CatalogItem(item_id="i"), timedelta(days=1)).published_at is None


def test_publication_moves_with_the_events() -> None:
    item = CatalogItem(item_id="i", published_at=datetime(2022, 5, 1, tzinfo=UTC))
    assert shift_item(item, timedelta(days=1)).published_at == datetime(2022, 5, 2, tzinfo=UTC)
