"""Sequence files of next-item benchmarks: `user item` a line, in time order; the held-back item of each user apart.

In: plain or gzipped text. Out: catalogue rows per user. Nothing of the loop is needed: any such file can be read.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recloop.errors import SourceError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ItemSequences:
    """The items of each user, oldest first, as rows of `item_ids`; users in the order in which the file names them."""

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    items: tuple[Rows, ...]

    def held_back(self) -> tuple[ItemSequences, Rows]:
        """Return the sequences without their last item, and those items; users with one item are left out of both."""
        long = [place for place, rows in enumerate(self.items) if len(rows) > 1]
        shorter = ItemSequences(
            tuple(self.user_ids[place] for place in long),
            self.item_ids,
            tuple(self.items[place][:-1] for place in long),
        )
        return shorter, np.array([self.items[place][-1] for place in long], dtype=np.int64)


def read_sequences(path: Path) -> ItemSequences:
    """Read a training file.

    Raises:
        SourceError: the file is missing, cut off or empty, or a line is not two words; names file and line.
    """
    by_user: dict[str, list[str]] = {}
    for number, words in _lines(path):
        if len(words) != 2:
            raise SourceError(f"{path} line {number}: found {' '.join(words)[:80]!r}, expected `user item`.")
        by_user.setdefault(words[0], []).append(words[1])
    if not by_user:
        raise SourceError(f"{path} has no line `user item`; there is nothing to learn from.")
    item_ids = tuple(sorted({item for items in by_user.values() for item in items}, key=_natural))
    index = {item: row for row, item in enumerate(item_ids)}
    items = tuple(np.array([index[item] for item in own], dtype=np.int64) for own in by_user.values())
    return ItemSequences(tuple(by_user), item_ids, items)


def read_targets(path: Path, sequences: ItemSequences) -> Rows:
    """Read each user's held-back item as a row of the catalogue; -1 where training never saw the item.

    A line is `user item`, or the item alone: then line n is of the n-th user of the training file.

    Raises:
        SourceError: a user is missing, unknown or named twice, or the number of lines is not that of the users.
    """
    lines = list(_lines(path))
    index = {item: row for row, item in enumerate(sequences.item_ids)}
    if lines and all(len(words) == 1 for _, words in lines):
        if len(lines) != len(sequences.user_ids):
            raise SourceError(
                f"{path} has {len(lines)} items, the training file has {len(sequences.user_ids)} users; "
                "one item per user is expected, in their order."
            )
        return np.array([index.get(words[0], -1) for _, words in lines], dtype=np.int64)
    places = {user: place for place, user in enumerate(sequences.user_ids)}
    targets: dict[int, int] = {}
    for number, words in lines:
        if len(words) != 2 or words[0] not in places or places[words[0]] in targets:
            raise SourceError(
                f"{path} line {number}: found {' '.join(words)[:80]!r}, expected `user item`, once for each user of "
                "the training file."
            )
        targets[places[words[0]]] = index.get(words[1], -1)
    if missing := [user for user, place in places.items() if place not in targets]:
        raise SourceError(f"{path} has no item for {len(missing)} users of the training file, such as {missing[0]}.")
    return np.array([targets[place] for place in range(len(places))], dtype=np.int64)


def _lines(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for number, line in enumerate(file, start=1):
                if words := line.split():
                    yield number, words
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read to its end: {error}.") from error


def _natural(item: str) -> tuple[int, str]:
    """Order numbers as numbers: `2` before `10`."""
    return (int(item), item) if item.isascii() and item.isdigit() else (-1, item)
