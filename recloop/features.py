"""Every model feature, stated once; Feast's definitions, Spark's tables and the model signature derive from here.

A feature view is a table of values per entity and moment. Batch views are change logs: a row is written for an entity
and day only when something happened to it that day; between rows, values that fade with age are aged by the reader.
`feature_time` is the end of the day a row sums up (or the event that made it, for the stream view).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum

from recloop.attributes import USER_ATTRIBUTES
from recloop.tables import Column, Table


class Entity(StrEnum):
    """What features are about; the value is the join key."""

    USER = "user_id"
    ITEM = "item_id"
    SEGMENT = "segment"


class Kind(StrEnum):
    """Feature types, as Spark names them."""

    FLOAT = "float"
    LONG = "bigint"
    STRING = "string"
    STRINGS = "array<string>"
    FLOATS = "array<float>"
    LONGS = "array<bigint>"


@dataclass(frozen=True)
class FeatureSpec:
    """One feature. `default` is what a missing row means to every reader (None: unknown, NaN in a matrix)."""

    name: str
    kind: Kind
    description: str
    default: float | None = None


@dataclass(frozen=True)
class FeatureView:
    """Features stored together. `max_age` is the age after which a row counts as missing; None: never."""

    name: str
    entity: Entity
    features: tuple[FeatureSpec, ...]
    max_age: timedelta | None
    streamed: bool = False

    @property
    def table(self) -> Table:
        """The offline table: entity, feature_time, created_at, then the features."""
        keys = {self.entity: "string", Column.FEATURE_TIME: "timestamp", Column.CREATED_AT: "timestamp"}
        return Table(f"features.{self.name}", keys | {spec.name: spec.kind for spec in self.features})

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in order."""
        return tuple(spec.name for spec in self.features)


HALF_LIFE_DAYS = 30
"""A touch counts half as much after so many days, in every decayed sum of the batch features."""

POPULARITY_HALF_LIFE_DAYS = 7
PRIOR_TOUCHES = 20.0
"""Smoothing: a rate is (sum + PRIOR_TOUCHES x prior) / (touches + PRIOR_TOUCHES)."""

PRIOR_RATES = {Column.CLICK: 0.5, Column.LONG_VIEW: 0.2, Column.LIKE: 0.1, Column.HIDE: 0.05}
MAX_CATEGORIES = 20
MAX_SEEN_ITEMS = 2_000
MAX_POPULAR_ITEMS = 200
EVERYONE = "all"
"""The segment that everybody belongs to: its popularity is global."""


def _rates(prefix: str) -> tuple[FeatureSpec, ...]:
    return tuple(
        FeatureSpec(f"{prefix}_{head}_rate", Kind.FLOAT, f"Decayed, smoothed share of touches with {head}.", prior)
        for head, prior in PRIOR_RATES.items()
    )


# A touch is one (user, item, event_date) with any event; it is positive for a head when any of its events is.
USER_DAILY = FeatureView(
    "user_daily",
    Entity.USER,
    (
        FeatureSpec("user_touches", Kind.FLOAT, "Decayed number of touches, as of feature_time.", 0.0),
        *_rates("user"),
        FeatureSpec("user_active_days", Kind.FLOAT, "Decayed number of days with a touch.", 0.0),
        FeatureSpec("user_last_ms", Kind.LONG, "Newest event_time in ms; recency is computed by the reader."),
        FeatureSpec("user_categories", Kind.STRINGS, "Categories by |preference|, strongest first, at most 20."),
        FeatureSpec("user_category_weights", Kind.FLOATS, "Signed decayed preference of each, in [-1, 1]."),
        FeatureSpec("user_seen_items", Kind.STRINGS, "Items interacted with, newest first, at most 2,000."),
        FeatureSpec("user_feature_ms", Kind.LONG, "feature_time in ms: what fades is aged from it."),
    ),
    None,
)
ITEM_DAILY = FeatureView(
    "item_daily",
    Entity.ITEM,
    (
        FeatureSpec("item_touches", Kind.FLOAT, "Decayed number of touches, as of feature_time.", 0.0),
        *_rates("item"),
        FeatureSpec("item_popularity", Kind.FLOAT, "Decayed (7 days) number of touches with click.", 0.0),
        FeatureSpec("item_first_ms", Kind.LONG, "Oldest event_time in ms; age is computed by the reader."),
        FeatureSpec("item_feature_ms", Kind.LONG, "feature_time in ms: what fades is aged from it."),
    ),
    None,
)
SEGMENT_DAILY = FeatureView(
    "segment_daily",
    Entity.SEGMENT,
    (
        FeatureSpec("popular_items", Kind.STRINGS, "Most popular items of the segment, at most 200."),
        FeatureSpec("popular_weights", Kind.FLOATS, "Their decayed (7 days) number of touches with click."),
    ),
    None,
)
USER_PROFILE = FeatureView(
    "user_profile",
    Entity.USER,
    (
        FeatureSpec(Column.SEGMENT, Kind.STRING, "The source's own grouping of users."),
        FeatureSpec(Column.AGE_GROUP, Kind.STRING, "Age group, where known."),
        FeatureSpec(Column.GENDER, Kind.STRING, "Gender, where known."),
        FeatureSpec(USER_ATTRIBUTES, Kind.STRINGS, "The catalogue's other attributes, as name=value, by name."),
    ),
    None,
)
USER_RECENT = FeatureView(
    "user_recent",
    Entity.USER,
    (
        FeatureSpec("recent_items", Kind.STRINGS, "Items of the newest 100 interactions, oldest first."),
        FeatureSpec("recent_actions", Kind.STRINGS, "Their actions."),
        FeatureSpec("recent_times_ms", Kind.LONGS, "Their event times in ms."),
        FeatureSpec("recent_dwell_ms", Kind.LONGS, "Their dwell times in ms; 0: none."),
    ),
    timedelta(days=30),
    streamed=True,
)

FEATURE_VIEWS = (USER_DAILY, ITEM_DAILY, SEGMENT_DAILY, USER_PROFILE, USER_RECENT)


@dataclass(frozen=True)
class FeatureService:
    """The list of views one model version reads, named by version; `omits` names features that nobody reads."""

    name: str
    views: tuple[FeatureView, ...]
    omits: frozenset[str] = frozenset()

    def names(self, view: FeatureView) -> tuple[str, ...]:
        """Names of the features read of one view, in order."""
        return tuple(name for name in view.names if name not in self.omits)


RANKING_V1 = FeatureService("ranking_v1", (USER_DAILY, ITEM_DAILY, USER_PROFILE), omits=frozenset({"user_seen_items"}))
"""What the point-in-time join of training reads; seen items filter slates and rank nothing."""

SERVING_V1 = FeatureService("serving_v1", (USER_DAILY, USER_PROFILE, USER_RECENT))
"""What one request reads, for one user; item features travel in the bundle."""

FEATURE_SERVICES = (RANKING_V1, SERVING_V1)


def contract_id() -> str:
    """Return 16 hex digits that change when any view, feature, type or default does."""
    views = [asdict(view) for service in FEATURE_SERVICES for view in service.views]
    text = json.dumps(views, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
