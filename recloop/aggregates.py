"""The batch features in plain Python: the reference that Spark's numbers are held to.

Each function takes clean events and one day and returns the rows that `jobs.etl.compute_features` writes with
feature_time = the end of that day: entity → feature name → value. Only entities with an event on the day have a row.
Written to be read, not to be fast.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from recloop.clock import day_start, to_ms
from recloop.events import Action, Event
from recloop.features import (
    EVERYONE,
    HALF_LIFE_DAYS,
    MAX_CATEGORIES,
    MAX_POPULAR_ITEMS,
    MAX_SEEN_ITEMS,
    POPULARITY_HALF_LIFE_DAYS,
    PRIOR_RATES,
    PRIOR_TOUCHES,
)
from recloop.labels import Head, outcome

PREFERENCE = {Head.CLICK: 1.0, Head.LIKE: 2.0, Head.HIDE: -1.5}
"""What a touch says of its item's categories: the best of click and like, plus hide."""

DECIMALS = 6
"""Weights are rounded before they are ordered: two sums of the same numbers differ in the last bits, and would swap."""

Rows = dict[str, dict[str, Any]]


@dataclass
class Touch:
    """One (user, item, event_date) with any event; positive for a head when any of its events is."""

    user_id: str
    item_id: str
    day: date
    heads: set[Head] = field(default_factory=set)
    first_ms: int = 2**62
    last_ms: int = -1
    interacted_ms: int | None = None

    @property
    def preference(self) -> float:
        """Return what the touch says of its item's categories."""
        good = PREFERENCE[Head.LIKE] if Head.LIKE in self.heads else PREFERENCE[Head.CLICK] * (Head.CLICK in self.heads)
        return good + PREFERENCE[Head.HIDE] * (Head.HIDE in self.heads)


def decay(days: int, half_life: float) -> float:
    """Return what a touch of `days` ago still counts.

    >>> decay(0, 30), decay(30, 30), decay(14, 7)
    (1.0, 0.5, 0.25)
    """
    return float(0.5 ** (days / half_life))


def feature_time_ms(day: date) -> int:
    """Return the end of a day in ms, the feature_time of its rows.

    >>> feature_time_ms(date(1970, 1, 1))
    86400000
    """
    return to_ms(day_start(day + timedelta(days=1)))


def touches(events: Iterable[Event], *, until: date) -> list[Touch]:
    """Return the touches of all days up to and including `until`."""
    found: dict[tuple[str, str, date], Touch] = {}
    for event in events:
        key = (event.user_id, event.item_id, event.event_time.date())
        if key[2] > until:
            continue
        touch = found.setdefault(key, Touch(*key))
        at = to_ms(event.event_time)
        touch.heads.update(head for head, positive in outcome(event).items() if positive)
        touch.first_ms, touch.last_ms = min(touch.first_ms, at), max(touch.last_ms, at)
        if event.action != Action.IMPRESSION:
            touch.interacted_ms = max(touch.interacted_ms or 0, at)
    return list(found.values())


def user_daily(events: Iterable[Event], *, day: date, categories: Mapping[str, Sequence[str]]) -> Rows:
    """Return the rows of `user_daily` for one day; `categories` maps an item to its own."""
    rows: Rows = {}
    for user_id, mine in _by(touches(events, until=day), "user_id").items():
        if not any(touch.day == day for touch in mine):
            continue
        preferred = _preferences(mine, day, categories)
        rows[user_id] = {
            "user_touches": sum(decay((day - touch.day).days, HALF_LIFE_DAYS) for touch in mine),
            **_rates("user", mine, day),
            "user_active_days": sum(decay((day - on).days, HALF_LIFE_DAYS) for on in {touch.day for touch in mine}),
            "user_last_ms": max(touch.last_ms for touch in mine),
            "user_categories": [name for name, _ in preferred],
            "user_category_weights": [weight for _, weight in preferred],
            "user_seen_items": _seen(mine),
            "user_feature_ms": feature_time_ms(day),
        }
    return rows


def item_daily(events: Iterable[Event], *, day: date) -> Rows:
    """Return the rows of `item_daily` for one day."""
    rows: Rows = {}
    for item_id, mine in _by(touches(events, until=day), "item_id").items():
        if not any(touch.day == day for touch in mine):
            continue
        rows[item_id] = {
            "item_touches": sum(decay((day - touch.day).days, HALF_LIFE_DAYS) for touch in mine),
            **_rates("item", mine, day),
            "item_popularity": _clicks(mine, day),
            "item_first_ms": min(touch.first_ms for touch in mine),
            "item_feature_ms": feature_time_ms(day),
        }
    return rows


def segment_daily(events: Iterable[Event], *, day: date, segments: Mapping[str, str]) -> Rows:
    """Return the rows of `segment_daily` for one day; `segments` maps a user to its own, all are in EVERYONE."""
    members: dict[str, list[Touch]] = defaultdict(list)
    for touch in touches(events, until=day):
        for segment in {segments.get(touch.user_id), EVERYONE} - {None}:
            members[str(segment)].append(touch)
    rows: Rows = {}
    for segment, mine in members.items():
        if not any(touch.day == day for touch in mine):
            continue
        weights = {item: round(_clicks(group, day), DECIMALS) for item, group in _by(mine, "item_id").items()}
        ranked = sorted(((item, weight) for item, weight in weights.items() if weight > 0), key=_strongest_first)
        ranked = ranked[:MAX_POPULAR_ITEMS]
        rows[segment] = {
            "popular_items": [item for item, _ in ranked],
            "popular_weights": [weight for _, weight in ranked],
        }
    return rows


def _by(all_touches: Iterable[Touch], key: str) -> dict[str, list[Touch]]:
    groups: dict[str, list[Touch]] = defaultdict(list)
    for touch in all_touches:
        groups[getattr(touch, key)].append(touch)
    return groups


def _rates(prefix: str, mine: Sequence[Touch], day: date) -> dict[str, float]:
    weights = [decay((day - touch.day).days, HALF_LIFE_DAYS) for touch in mine]
    rates = {}
    for head, prior in PRIOR_RATES.items():
        positive = sum(weight for weight, touch in zip(weights, mine, strict=True) if Head(head) in touch.heads)
        rates[f"{prefix}_{head}_rate"] = (positive + PRIOR_TOUCHES * prior) / (sum(weights) + PRIOR_TOUCHES)
    return rates


def _clicks(mine: Iterable[Touch], day: date) -> float:
    clicked = (touch for touch in mine if Head.CLICK in touch.heads)
    return sum(decay((day - touch.day).days, POPULARITY_HALF_LIFE_DAYS) for touch in clicked)


def _preferences(mine: Iterable[Touch], day: date, categories: Mapping[str, Sequence[str]]) -> list[tuple[str, float]]:
    sums: dict[str, float] = defaultdict(float)
    for touch in mine:
        for category in set(categories.get(touch.item_id, ())):
            sums[category] += touch.preference * decay((day - touch.day).days, HALF_LIFE_DAYS)
    rounded = [(category, round(total, DECIMALS)) for category, total in sums.items()]
    ranked = sorted(((name, weight) for name, weight in rounded if weight != 0), key=_strongest_first)[:MAX_CATEGORIES]
    return [(name, weight / abs(ranked[0][1])) for name, weight in ranked]


def _seen(mine: Iterable[Touch]) -> list[str]:
    newest: dict[str, int] = {}
    for touch in mine:
        if touch.interacted_ms is not None:
            newest[touch.item_id] = max(touch.interacted_ms, newest.get(touch.item_id, 0))
    return sorted(newest, key=lambda item_id: (-newest[item_id], item_id))[:MAX_SEEN_ITEMS]


def _strongest_first(pair: tuple[str, float]) -> tuple[float, str]:
    return -abs(pair[1]), pair[0]
