"""Tables and lines of text: what is read, and what is said of a file that is not whole."""

from __future__ import annotations

import gzip
import logging
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloop.catalog import CatalogItem
from recloop.errors import SourceError
from recloop.sources.base import build, first_rows, number, read_json_lines, read_table, shift_item, time_of


def test_line_with_too_few_fields_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n3\n")
    with pytest.raises(SourceError, match=r"a\.csv line 3: found 1 fields, expected 2"):
        list(read_table(path, columns=("x",)))


@pytest.mark.parametrize("header", [True, False])
def test_empty_file_is_named(tmp_path: Path, header: bool) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    with pytest.raises(SourceError, match=r"a\.csv is empty; expected a first line with x, y"):
        list(read_table(path, columns=("x", "y"), header=header))


def test_plain_csv_cut_in_mid_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n3")
    with pytest.raises(SourceError, match=r"a\.csv line 3: found 1 fields, expected 2. Was the file cut off\?"):
        list(read_table(path, columns=("x",)))


@pytest.mark.parametrize("cut", ['3,"four', '3,"four,\n5,6\n', '3,"four" 5'])
def test_quotation_mark_that_nothing_closes_is_named_where_its_line_begins(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'x,y\n1,"2\n2"\n{cut}')
    with pytest.raises(SourceError, match=r"a\.csv line 4: .* Was the file cut off\?"):
        list(read_table(path, columns=("x",)))


def test_quoted_field_holds_commas_quotation_marks_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('x,y\r\n"1,""2""\n",3\r\n\r\n4,5\r\n')
    assert list(read_table(path, columns=("x",))) == [(3, {"x": '1,"2"\n', "y": "3"}), (5, {"x": "4", "y": "5"})]


@pytest.mark.parametrize("delimiter", ["\t", "|", "::"])
def test_quotation_mark_between_other_delimiters_is_one(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(f'1{delimiter}"é: 2\r\n\n3{delimiter}'.encode("latin-1"))
    rows = read_table(path, columns=("x", "y"), delimiter=delimiter, header=False, encoding="latin-1")
    assert list(rows) == [(1, {"x": "1", "y": '"é: 2'}), (3, {"x": "3", "y": ""})]


def corrupt(content: bytes) -> bytes:
    """Return a gzip file whose compressed bytes begin with a kind of block that there is not."""
    packed = bytearray(gzip.compress(content))
    packed[10] = 0xFF
    return bytes(packed)


TABLE = b"x,y\n" + b"".join(b"%d,%d\n" % (n, random.Random(n).randrange(10**9)) for n in range(2_000))


@pytest.mark.parametrize("content", [gzip.compress(TABLE)[:-9], gzip.compress(TABLE)[:60], corrupt(TABLE), TABLE])
def test_gzip_file_that_is_not_whole_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.csv\.gz cannot be read to its end: .*\. Copy or download it again"):
        list(read_table(path, columns=("x",)))


def test_json_that_is_no_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"item_id": "a"}\n\n7\n')
    with pytest.raises(SourceError, match=r"a\.jsonl line 3, row: .*; found 7"):
        list(read_json_lines(path, CatalogItem))


def test_first_row_of_an_id_counts_and_the_others_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    rows = [(Path("a.csv"), line, {"x": text}) for line, text in enumerate("abacab", start=2)]
    with caplog.at_level(logging.WARNING):
        assert [line for _, line, _ in first_rows(rows, "x")] == [2, 3, 5]
    assert [record.getMessage() for record in caplog.records] == [
        "a.csv line 4: x 'a' has an earlier row, which counts. Rows left out so: 3."
    ]


def test_nothing_is_said_of_ids_that_stand_once(caplog: pytest.LogCaptureFixture) -> None:
    rows = [(Path("a.csv"), 2, {"x": "a"}), (Path("b.csv"), 2, {"x": "b"})]
    assert list(first_rows(rows, "x")) == rows
    assert caplog.records == []


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
