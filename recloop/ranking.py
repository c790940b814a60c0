"""The ranking matrix: from a user, some items and their retrieval scores to the numbers LightGBM reads.

Training builds its rows with this module and serving does too: there is no second way to make a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_DAY, MS_PER_HOUR
from recloop.features import HALF_LIFE_DAYS, ITEM_DAILY, POPULARITY_HALF_LIFE_DAYS, USER_DAILY, FeatureSpec, Kind
from recloop.sequences import RecentActions
from recloop.tables import Column
from recloop.training_set import PUBLISHED_MS

UNKNOWN = -1
"""Code of a category that the vocabulary does not hold; LightGBM takes a negative category as missing."""

_USER_NUMBERS: tuple[FeatureSpec, ...] = tuple(
    spec for spec in USER_DAILY.features if spec.kind is Kind.FLOAT and not spec.name.endswith("_rate")
)
"""Without the user's rates, which move every day: `recloop.statistics` says why, and has them fixed."""

_ITEM_NUMBERS: tuple[FeatureSpec, ...] = tuple(spec for spec in ITEM_DAILY.features if spec.kind is Kind.FLOAT)
_HALF_LIVES: Mapping[str, float] = {
    "user_touches": HALF_LIFE_DAYS,
    "user_active_days": HALF_LIFE_DAYS,
    "item_touches": HALF_LIFE_DAYS,
    "item_popularity": POPULARITY_HALF_LIFE_DAYS,
}
"""Decayed sums: what a row said at its feature_time is worth less at the request."""

USER_COLUMNS = (*(spec.name for spec in _USER_NUMBERS), "user_days_since_last", "user_items_1h")
"""Nothing here follows how good or bad the last items were: that is the same for all candidates of a slate, and what
follows each outcome ranks a user's own rows against it (docs/adr/0010)."""

ITEM_COLUMNS = (*(spec.name for spec in _ITEM_NUMBERS), "item_days_since_first", "item_duration_s", "item_age_days")
CROSS_COLUMNS = ("cf_score", "sequence_score", "category_affinity", "category_recent", "author_recent")
CONTEXT_COLUMNS = ("hour", "surface_code", "device_code", "segment_code", "age_group_code", "gender_code")
RANKING_FEATURES = (*USER_COLUMNS, *ITEM_COLUMNS, *CROSS_COLUMNS, *CONTEXT_COLUMNS)
"""Columns of the matrix, in order; part of every bundle's signature."""

FIXED_ITEM_COLUMNS = (Column.DURATION_MS, PUBLISHED_MS)
"""What the catalogue says of an item, the same at every moment."""

ITEM_NUMBER_COLUMNS = (*(spec.name for spec in _ITEM_NUMBERS), "item_first_ms", *FIXED_ITEM_COLUMNS)
CATEGORICAL = tuple(name for name in CONTEXT_COLUMNS if name.endswith("_code"))
RECENT_FOR_CROSSES = 10

Matrix = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Context:
    """What is known only at request time."""

    time_ms: int
    surface: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class UserState:
    """One user as a reader of features sees them; an unknown user is `UserState(user_id)`.

    `numbers` maps a feature name of USER_DAILY to its value; a missing name means its default. `as_of_ms` is the row's
    feature_time: values that fade are aged from there.
    """

    user_id: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    as_of_ms: int | None = None
    category_weights: Mapping[str, float] = field(default_factory=dict)
    seen_items: frozenset[str] = frozenset()
    recent: RecentActions = field(default_factory=RecentActions)
    segment: str | None = None
    age_group: str | None = None
    gender: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def last_ms(self) -> int | None:
        """Newest interaction known, from the sequence or the batch row."""
        batch = self.numbers.get("user_last_ms")
        return max([*self.recent.times_ms[-1:], *([] if batch is None else [int(batch)])], default=None)


@dataclass(frozen=True)
class Items:
    """The catalogue as arrays; row i is item i everywhere.

    `numbers` is float64 [n, len(ITEM_NUMBER_COLUMNS)], NaN where unknown; the features among them are as of `as_of_ms`.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    authors: tuple[str | None, ...]
    numbers: NDArray[np.float64]
    as_of_ms: int
    index: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", {item_id: row for row, item_id in enumerate(self.ids)})

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, item_ids: Sequence[str]) -> Indices:
        """Return the rows of the ids that are in the catalogue, in their order."""
        return np.array([self.index[item_id] for item_id in item_ids if item_id in self.index], dtype=np.int64)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one of ITEM_NUMBER_COLUMNS, a value per item."""
        return self.numbers[:, ITEM_NUMBER_COLUMNS.index(name)]

    @property
    def fixed_columns(self) -> NDArray[np.float64]:
        """FIXED_ITEM_COLUMNS, [n, 2]."""
        return np.column_stack([self.column(name) for name in FIXED_ITEM_COLUMNS])


@dataclass(frozen=True)
class Vocabularies:
    """Category → code, learned in training, one mapping per categorical column (`surface`, `device`, `segment`, …)."""

    codes: Mapping[str, Mapping[str, int]]

    def code(self, column: str, value: str | None) -> int:
        """Return the code of a value, UNKNOWN for one that training never saw."""
        return UNKNOWN if value is None else self.codes.get(column, {}).get(value, UNKNOWN)

    @classmethod
    def from_json(cls, data: Any) -> Vocabularies:
        """Read the bundle's vocabularies.json."""
        return cls({column: dict(codes) for column, codes in data.items()})


def ranking_matrix(
    user: UserState,
    items: Items,
    rows: Indices,
    *,
    context: Context,
    cf_scores: NDArray[np.floating[Any]],
    sequence_scores: NDArray[np.floating[Any]],
    vocabularies: Vocabularies,
    item_numbers: NDArray[np.float64] | None = None,
    item_as_of_ms: int | NDArray[np.float64] | None = None,
) -> Matrix:
    """Return float32 [len(rows), len(RANKING_FEATURES)].

    Args:
        user: the state the user's features had at `context.time_ms`.
        items: the catalogue.
        rows: the items to describe.
        context: of the request.
        cf_scores: one per row; zeros when the user has no history.
        sequence_scores: one per row; zeros when the user has no history.
        vocabularies: codes of the categorical columns.
        item_numbers: [len(rows), len(ITEM_NUMBER_COLUMNS)], the items' point-in-time values in training; by default
            those of `items`.
        item_as_of_ms: the feature_time of `item_numbers`, one or one per row; by default that of `items`.
    """
    numbers = items.numbers[rows] if item_numbers is None else item_numbers
    as_of_ms = items.as_of_ms if item_as_of_ms is None else item_as_of_ms
    parts = [
        np.broadcast_to(_user_row(user, context), (len(rows), len(USER_COLUMNS))),
        _item_block(numbers, as_of_ms, context),
        np.column_stack([cf_scores, sequence_scores, *_crosses(user, items, rows)]),
        np.broadcast_to(_context_row(user, context, vocabularies), (len(rows), len(CONTEXT_COLUMNS))),
    ]
    return np.ascontiguousarray(np.hstack(parts), dtype=np.float32)


def fade(name: str, value: Any, as_of_ms: Any, now_ms: int) -> Any:
    """Return a feature's value (or array of values) at `now_ms`; one that does not fade as it is.

    >>> float(fade("item_popularity", 8.0, 0, 14 * MS_PER_DAY)), fade("item_click_rate", 0.5, 0, 14 * MS_PER_DAY)
    (2.0, 0.5)
    """
    if as_of_ms is None or name not in _HALF_LIVES:
        return value
    age_days = np.maximum(0, now_ms - as_of_ms) / MS_PER_DAY
    return value * 0.5 ** (age_days / _HALF_LIVES[name])


def _user_row(user: UserState, context: Context) -> NDArray[np.float64]:
    values = []
    for spec in _USER_NUMBERS:
        value = user.numbers.get(spec.name, spec.default)
        value = np.nan if value is None else float(value)
        values.append(fade(spec.name, value, user.as_of_ms, context.time_ms))
    last = user.last_ms
    values.append(np.nan if last is None else max(0, context.time_ms - last) / MS_PER_DAY)
    recent = zip(user.recent.item_ids, user.recent.times_ms, strict=True)
    values.append(len({item for item, time in recent if context.time_ms - time < MS_PER_HOUR}))
    return np.asarray(values, dtype=np.float64)


def _item_block(
    numbers: NDArray[np.float64], as_of_ms: int | NDArray[np.float64], context: Context
) -> NDArray[np.float64]:
    columns = dict(zip(ITEM_NUMBER_COLUMNS, numbers.T, strict=True))
    found = {
        "item_days_since_first": (context.time_ms - columns["item_first_ms"]) / MS_PER_DAY,
        "item_duration_s": columns[Column.DURATION_MS] / 1_000,
        "item_age_days": (context.time_ms - columns[PUBLISHED_MS]) / MS_PER_DAY,
    }
    for spec in _ITEM_NUMBERS:
        values = columns[spec.name]
        if spec.default is not None:
            values = np.where(np.isnan(values), spec.default, values)
        found[spec.name] = fade(spec.name, values, as_of_ms, context.time_ms)
    return np.column_stack([found[name] for name in ITEM_COLUMNS])


def _crosses(user: UserState, items: Items, rows: Indices) -> list[NDArray[np.float64]]:
    newest = items.rows(user.recent.item_ids[-RECENT_FOR_CROSSES:])
    recent_categories: dict[str, int] = {}
    recent_authors: dict[str, int] = {}
    for row in newest:
        for category in items.categories[row]:
            recent_categories[category] = recent_categories.get(category, 0) + 1
        author = items.authors[row]
        if author is not None:
            recent_authors[author] = recent_authors.get(author, 0) + 1
    affinity, shared, author_count = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows))
    for place, row in enumerate(rows):
        categories = items.categories[row]
        if categories:
            affinity[place] = sum(user.category_weights.get(category, 0.0) for category in categories) / len(categories)
            shared[place] = sum(recent_categories.get(category, 0) for category in categories) / len(categories)
        author_count[place] = recent_authors.get(items.authors[row] or "", 0)
    return [affinity, shared, author_count]


def _context_row(user: UserState, context: Context, vocabularies: Vocabularies) -> NDArray[np.float64]:
    values = {
        "surface": context.surface, "device": context.device, Column.SEGMENT: user.segment,
        Column.AGE_GROUP: user.age_group, Column.GENDER: user.gender,
    }  # fmt: skip
    codes = [vocabularies.code(column, value) for column, value in values.items()]
    return np.array([context.time_ms // MS_PER_HOUR % 24, *codes], dtype=np.float64)
