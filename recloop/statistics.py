"""Statistics: how items, authors, surfaces, kinds of users … fared before, as smoothed rates per head.

Target statistics (Micci-Barreca 2001), taken in time order as CatBoost does (Prokhorenkova et al. 2018, section 3.2):
a row is described by sums over what was known before it, never by its own outcome. What `training` learned on, a bundle
carries as one table; a lookup is a binary search per statistic, the same code in training and in serving.

A statistic of the user is *fixed*: it moves when a bundle is made, not between. A user's rate that follows each click
ranks that user's own rows against the clicks (after a click all later rows score higher, and most are no click), which
costs more within the user than it tells about users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_HOUR
from recloop.labels import Head
from recloop.ranking import Context, Indices, Items, UserState
from recloop.tables import Column

Hashes = NDArray[np.uint64]
Sums = NDArray[np.float64]
"""[…, 1 + heads]: how many rows, then how many of them were positive, head by head in the order of `Head`."""

N_SUMS = 1 + len(Head)
MOVES_EVERY_MS = MS_PER_HOUR
"""Statistics that are not fixed take in, where a log is at hand, what was known when the hour began."""


class Stream(StrEnum):
    """What is counted: rows of what was shown, or what users did, shown or not."""

    EXPOSURES = "exposures"
    INTERACTIONS = "interactions"


class Part(StrEnum):
    """What a statistic is kept by; any other part is the name of a user's attribute."""

    USER = "user"
    ITEM = "item"
    AUTHOR = "author"
    CATEGORY = "category"
    DURATION = "duration"
    SURFACE = "surface"


@dataclass(frozen=True)
class Statistic:
    """One statistic; a rate is (sum - count x mean) / (count + prior), so 0 says nothing is known."""

    stream: Stream
    parts: tuple[str, ...]
    prior: float

    @property
    def name(self) -> str:
        """Return the name, as columns begin."""
        return f"{self.stream}_by_{'_'.join(self.parts)}"

    @property
    def fixed(self) -> bool:
        """Tell whether it keeps still between two bundles."""
        return Part.USER in self.parts


_SHOWN, _DONE = Stream.EXPOSURES, Stream.INTERACTIONS
BASE_STATISTICS = (
    Statistic(_SHOWN, (Part.ITEM,), 20),
    Statistic(_SHOWN, (Part.AUTHOR,), 20),
    Statistic(_SHOWN, (Part.CATEGORY,), 50),
    Statistic(_SHOWN, (Part.SURFACE,), 100),
    Statistic(_SHOWN, (Part.ITEM, Part.SURFACE), 20),
    Statistic(_SHOWN, (Part.CATEGORY, Part.DURATION), 50),
    Statistic(_SHOWN, (Part.SURFACE, Part.DURATION), 100),
    Statistic(_SHOWN, (Part.USER,), 4),
    Statistic(_SHOWN, (Part.USER, Part.SURFACE), 3),
    Statistic(_DONE, (Part.ITEM,), 20),
    Statistic(_DONE, (Part.AUTHOR,), 20),
    Statistic(_DONE, (Part.CATEGORY,), 50),
    Statistic(_DONE, (Part.USER,), 5),
    Statistic(_DONE, (Part.USER, Part.CATEGORY), 3),
    Statistic(_DONE, (Part.USER, Part.AUTHOR), 2),
)


def user_parts(user: UserState) -> dict[str, str]:
    """Return a user's attributes and profile, by name; what is unknown is left out."""
    profile = {Column.SEGMENT: user.segment, Column.AGE_GROUP: user.age_group, Column.GENDER: user.gender}
    return {str(name): value for name, value in profile.items() if value} | dict(user.attributes)


def hash_text(text: str | None) -> int:
    """Return 64 bits of a text, the same in every process; None is a value like others."""
    data = b"\0" if text is None else text.encode()
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def hash_texts(texts: Sequence[str | None] | NDArray[np.object_]) -> Hashes:
    """Return the hash of each text; one that repeats is hashed once."""
    known: dict[str | None, int] = {}
    for text in texts:
        if text not in known:
            known[text] = hash_text(text)
    return np.fromiter((known[text] for text in texts), dtype=np.uint64, count=len(texts))


def mix(left: Hashes, right: Hashes) -> Hashes:
    """Return one hash of two; the order counts (the finaliser of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        x = (left ^ (right + np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = x ^ (x >> np.uint64(31))
    return mixed


DURATION_EDGES_S = (0.1, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 1_800, 5_400)


def item_parts(items: Items) -> dict[str, Hashes]:
    """Return the hashes of what a catalogue says of each item; the first category stands for all."""
    duration = items.column(Column.DURATION_MS) / 1_000
    bucket = np.where(np.isnan(duration), -1, np.digitize(np.nan_to_num(duration), DURATION_EDGES_S))
    return {
        Part.ITEM: hash_texts(items.ids),
        Part.AUTHOR: hash_texts(items.authors),
        Part.CATEGORY: hash_texts([names[0] if names else None for names in items.categories]),
        Part.DURATION: bucket.astype(np.int64).view(np.uint64),
    }


def keys_of(statistic: Statistic, part: Callable[[str], Hashes]) -> Hashes:
    """Return the key of each row; `part` gives the rows' hashes of one part."""
    found = np.array([hash_text(statistic.name)], dtype=np.uint64)
    for name in statistic.parts:
        found = mix(found, part(name))
    return found


@dataclass(frozen=True)
class Statistics:
    """The statistics of a bundle: sums by key, known at `until_ms`.

    `keys` are sorted and unique; `sums` has float32 [keys, N_SUMS]; `means` maps a stream to the share of positives
    per head, which rates are smoothed towards.
    """

    specs: tuple[Statistic, ...]
    keys: Hashes
    sums: NDArray[np.float32]
    means: dict[str, list[float]]
    until_ms: int
    _of_items: dict[int, dict[str, Hashes]] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order: per statistic its count and the rate of each head."""
        return tuple(f"{spec.name}_{what}" for spec in self.specs for what in ("count", *Head))

    def columns(self, user: UserState, items: Items, rows: Indices, *, context: Context) -> NDArray[np.float32]:
        """Return float32 [len(rows), len(names)] for one request."""
        of_items = self._item_parts(items)
        own = user_parts(user)

        def part(name: str) -> Hashes:
            if name in of_items:
                return of_items[name][rows]
            text = {Part.USER: user.user_id, Part.SURFACE: context.surface}.get(name, own.get(name))  # type: ignore[call-overload]
            return np.array([hash_text(text)], dtype=np.uint64)

        return self.rates((self.lookup(keys_of(spec, part)) for spec in self.specs), n_rows=len(rows))

    def lookup(self, keys: Hashes) -> Sums:
        """Return the sums of each key, zeros for one that the table lacks."""
        if not len(self.keys):
            return np.zeros((len(keys), N_SUMS))
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[places] == keys)[:, None], self.sums[places], 0.0)

    def rates(self, sums: Iterable[Sums], *, n_rows: int) -> NDArray[np.float32]:
        """Return the columns from the sums of each statistic, each [n_rows or 1, N_SUMS]; one at a time is held."""
        found = np.empty((n_rows, len(self.specs), N_SUMS), dtype=np.float32)
        for place, (spec, own) in enumerate(zip(self.specs, sums, strict=True)):
            count = own[:, :1]
            found[:, place, :1] = count
            found[:, place, 1:] = (own[:, 1:] - count * np.asarray(self.means[spec.stream])) / (count + spec.prior)
        return found.reshape(n_rows, -1)

    def _item_parts(self, items: Items) -> dict[str, Hashes]:
        found = self._of_items.get(id(items))
        if found is None:
            found = self._of_items[id(items)] = item_parts(items)
        return found

    def save(self, path: Path) -> None:
        """Write one npz file without pickles."""
        facts: dict[str, Any] = {
            "streams": np.array([spec.stream for spec in self.specs], dtype=str),
            "parts": np.array(["\n".join(spec.parts) for spec in self.specs], dtype=str),
            "priors": np.array([spec.prior for spec in self.specs]),
            "means": np.array([self.means[stream] for stream in Stream]),
            "until_ms": np.array(self.until_ms),
        }
        np.savez(path, keys=self.keys, sums=self.sums, allow_pickle=False, **facts)

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            specs = tuple(
                Statistic(Stream(str(stream)), tuple(str(parts).split("\n")), float(prior))
                for stream, parts, prior in zip(data["streams"], data["parts"], data["priors"], strict=True)
            )
            means = {str(stream): row.tolist() for stream, row in zip(Stream, data["means"], strict=True)}
            return cls(specs, data["keys"], data["sums"], means, int(data["until_ms"]))
