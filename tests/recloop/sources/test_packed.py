"""Packed rows come back as they went in."""

from __future__ import annotations

from typing import NamedTuple

from recloop.sources.packed import Codes, PackedRows


class Seen(NamedTuple):
    time_ms: int
    user: int
    change: int


ROWS = [Seen(2**40, 2**32 - 1, -1), Seen(7, 0, 2**31 - 1), Seen(2**40, 1, 0), Seen(-7, 2, -(2**31))]


def packed(rows: list[Seen]) -> PackedRows[Seen]:
    found = PackedRows(Seen._make, "qIi")
    found.extend(rows)
    return found


def test_rows_come_back_whole() -> None:
    rows = packed(ROWS)
    assert [rows[place] for place in range(len(ROWS))] == ROWS


def test_column_has_a_number_of_every_row() -> None:
    assert [packed(ROWS).column(place).tolist() for place in range(3)] == [
        list(each) for each in zip(*ROWS, strict=True)
    ]


def test_places_are_by_time_and_at_one_time_in_their_order() -> None:
    assert list(packed(ROWS).by_time()) == [3, 1, 0, 2]


def test_no_rows_have_no_places() -> None:
    assert list(packed([]).by_time()) == []


def test_rows_can_be_added_after_they_were_sorted() -> None:
    rows = packed(ROWS[:2])
    assert list(rows.by_time()) == [1, 0]
    rows.extend(ROWS[2:])
    assert rows[3] == ROWS[3]


def test_value_keeps_its_code() -> None:
    codes = Codes()
    assert [codes[value] for value in ("b", None, "b", ("a", 1))] == [0, 1, 0, 2]
    assert list(codes) == ["b", None, ("a", 1)]
