"""Sequence files of next-item benchmarks: `user item` a line, in time order; the held-back item of each user apart.

In: plain or gzipped text. Out: catalogue rows per user. Nothing of the loop is needed: any such file can be read.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recloop.errors import SourceError

Rows = NDArray[np.int64]
Line = tuple[int, Sequence[str]]


@dataclass(frozen=True)
class ItemSequences:
    """The items of each user, oldest first, as rows of `item_ids`; users in the order in which the file names them."""

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    items: tuple[Rows, ...]

    def of(self, places: Sequence[int]) -> ItemSequences:
        """Return those of some users, by their places here."""
        users, items = tuple(self.user_ids[place] for place in places), tuple(self.items[place] for place in places)
        return ItemSequences(users, self.item_ids, items)

    def held_back(self) -> tuple[ItemSequences, Rows]:
        """Return the sequences without their last item, and those items: -1 for one that is in none of the sequences.

        Users with one item are left out of both.
        """
        long = self.of([place for place, rows in enumerate(self.items) if len(rows) > 1])
        shorter = ItemSequences(long.user_ids, self.item_ids, tuple(rows[:-1] for rows in long.items))
        last = np.array([rows[-1] for rows in long.items], dtype=np.int64)
        met = np.zeros(len(self.item_ids), dtype=bool)
        for rows in shorter.items:
            met[rows] = True
        return shorter, np.where(met[last], last, -1)


def read_sequences(path: Path) -> ItemSequences:
    """Read a training file.

    Raises:
        SourceError: the file is missing, cut off, damaged or empty, or a line is not two words; names file and line.
    """
    by_user: dict[str, list[str]] = {}
    for number, words in _lines(path):
        if len(words) != 2:
            raise _unexpected(path, number, words)
        by_user.setdefault(words[0], []).append(words[1])
    if not by_user:
        raise SourceError(f"{path} has no line `user item`; there is nothing to learn from.")
    item_ids = tuple(sorted({item for items in by_user.values() for item in items}, key=_natural))
    index = {item: row for row, item in enumerate(item_ids)}
    items = tuple(np.array([index[item] for item in own], dtype=np.int64) for own in by_user.values())
    return ItemSequences(tuple(by_user), item_ids, items)


def read_targets(path: Path, sequences: ItemSequences) -> tuple[ItemSequences, Rows]:
    """Return the sequences of the users that a test file names, and the held-back item of each as a row.

    A line is `user item`; users of the training file that are not named are left out. Or it is the item alone: then
    line n, blank lines apart, is of the n-th user whom the training file names. -1 stands for an item that the
    training file does not have.

    Raises:
        SourceError: a user is unknown or named twice, or the number of items without users is not that of the users.
    """
    lines = list(_lines(path))
    if not lines:
        raise SourceError(f"{path} has no line; expected `user item` lines, or one item per user of the training file.")
    rows = {item: row for row, item in enumerate(sequences.item_ids)}
    if all(len(words) == 1 for _, words in lines):
        if len(lines) != len(sequences.user_ids):
            raise SourceError(
                f"{path} has {len(lines)} items, the training file has {len(sequences.user_ids)} users; expected one "
                "item for each user, in the order in which the training file first names them. Where users are left "
                "out, write lines `user item`."
            )
        return sequences, np.array([rows.get(words[0], -1) for _, words in lines], dtype=np.int64)
    named = _by_place(path, lines, sequences)
    return sequences.of(sorted(named)), np.array(
        [rows.get(named[place], -1) for place in sorted(named)], dtype=np.int64
    )


def _by_place(path: Path, lines: Sequence[Line], sequences: ItemSequences) -> dict[int, str]:
    """Return the item of each user whom the lines name, by the user's place."""
    places = {user: place for place, user in enumerate(sequences.user_ids)}
    found: dict[int, str] = {}
    unknown: list[Line] = []
    for number, words in lines:
        if len(words) != 2:
            raise _unexpected(path, number, words)
        place = places.get(words[0])
        if place is None:
            unknown.append((number, words))
        elif place in found:
            raise SourceError(f"{path} line {number}: user {words[0]} has an item already, {found[place]}. Keep one.")
        else:
            found[place] = words[1]
    if unknown:
        number, words = unknown[0]
        raise SourceError(
            f"{path} line {number}: user {words[0]} is not in the training file; that holds for {len(unknown)} of the "
            f"{len(lines)} lines, and who has no history cannot be ranked for. Leave those lines out, or give the "
            "training file that belongs to this one."
        )
    return found


def _lines(path: Path) -> Iterator[Line]:
    try:
        # Unpacked as a whole: only the checksum at the end tells a damaged byte from a line that was written so.
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        # A byte-order mark, as Windows writes it, is no part of the first user.
        for number, line in enumerate(TextIOWrapper(BytesIO(data), encoding="utf-8-sig"), start=1):
            if words := line.split():
                yield number, words
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise SourceError(f"{path} cannot be read to its end: {error}. Copy or download it again.") from error


def _unexpected(path: Path, number: int, words: Sequence[str]) -> SourceError:
    return SourceError(f"{path} line {number}: found {' '.join(words)[:80]!r}, expected `user item`.")


def _natural(item: str) -> tuple[int, str]:
    """Order numbers as numbers, `2` before `10`, of however many digits."""
    return (len(item) if item.isascii() and item.isdigit() else 0, item)
