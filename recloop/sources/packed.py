"""Rows of a large log in a few bytes each, where their events would take kilobytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Row = TypeVar("Row")


class PackedRows(Generic[Row]):
    """Tuples of whole numbers, the first of them a time.

    Args:
        make: what makes a row of its numbers, as a named tuple's `_make`.
        layout: the size of each number, by its letter in `struct`.
    """

    def __init__(self, make: Callable[[Iterable[Any]], Row], layout: str) -> None:
        self._make = make
        self._layout = struct.Struct(f"<{layout}")
        self._columns = np.dtype([(str(place), f"<{letter}") for place, letter in enumerate(layout)])
        self._bytes = bytearray()

    def extend(self, rows: Iterable[Iterable[int]]) -> None:
        """Add rows at the end."""
        for row in rows:
            self._bytes += self._layout.pack(*row)

    def __getitem__(self, place: int) -> Row:
        return self._make(self._layout.unpack_from(self._bytes, place * self._layout.size))

    def column(self, place: int) -> NDArray[Any]:
        """Return a number of every row, as a view; while one is in use no row can be added."""
        return np.frombuffer(self._bytes, self._columns)[str(place)]

    def by_time(self) -> Iterator[int]:
        """Yield the rows' places, oldest first; of one time in the order they came."""
        yield from np.argsort(self.column(0), kind="stable").data


class Codes(dict[Hashable, int]):
    """A number for each value, given when it is first asked for; `list` gives the values in the order of numbers."""

    def __missing__(self, value: Hashable) -> int:
        return self.setdefault(value, len(self))
