"""From a user's online row to the state the recommender reads: what is there, how old it is, what it lacks.

Feast does not apply a view's age limit when it reads, so it is applied here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from recloop.attributes import USER_ATTRIBUTES, parse_attributes
from recloop.clock import MS_PER_HOUR
from recloop.features import USER_DAILY, USER_PROFILE, USER_RECENT, FeatureView, Kind
from recloop.ranking import UserState
from recloop.sequences import RecentActions
from recloop.tables import Column
from serving.api import Reason


@dataclass(frozen=True)
class OnlineRow:
    """What the online store holds of one user: values by view and feature, and the event time of each view's row.

    A view without a row is in neither mapping.
    """

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    times_ms: Mapping[str, int] = field(default_factory=dict)

    def of(self, view: FeatureView) -> Mapping[str, Any]:
        """Return one view's values; empty when there is no row."""
        return self.values.get(view.name, {})


@dataclass(frozen=True)
class KnownUser:
    """A user state, with what it lacks and the newest interaction known, whether or not the state uses it."""

    state: UserState
    lacks: tuple[Reason, ...] = ()
    as_of_ms: int | None = None

    @property
    def has_sequence(self) -> bool:
        """Tell whether the model can look at what the user did lately."""
        return len(self.state.recent) > 0


def known_user(user_id: str, row: OnlineRow, *, now_ms: int, daily_max_age_hours: int) -> KnownUser:
    """Return the state of a user; an unknown one lacks both rows."""
    recent, recent_lack = _recent(row, now_ms)
    daily_lack = _daily_lack(row, now_ms - daily_max_age_hours * MS_PER_HOUR)
    daily = {} if daily_lack else row.of(USER_DAILY)
    profile = row.of(USER_PROFILE)
    items = row.of(USER_RECENT).get("recent_items") or ()
    state = UserState(
        user_id,
        numbers=_numbers(daily),
        as_of_ms=row.times_ms.get(USER_DAILY.name) if daily else None,
        category_weights=dict(
            zip(daily.get("user_categories") or (), daily.get("user_category_weights") or (), strict=True)
        ),
        # What was seen or hidden stays so, however old the row is.
        seen_items=frozenset(row.of(USER_DAILY).get("user_seen_items") or ()) | frozenset(items),
        recent=recent,
        segment=profile.get(Column.SEGMENT),
        age_group=profile.get(Column.AGE_GROUP),
        gender=profile.get(Column.GENDER),
        attributes=parse_attributes(profile.get(USER_ATTRIBUTES)),
    )
    lacks = tuple(lack for lack in (recent_lack, daily_lack) if lack is not None)
    return KnownUser(state, lacks, _newest(row))


def _recent(row: OnlineRow, now_ms: int) -> tuple[RecentActions, Reason | None]:
    values, at_ms = row.of(USER_RECENT), row.times_ms.get(USER_RECENT.name)
    if at_ms is None or not values.get("recent_items"):
        return RecentActions(), Reason.USER_RECENT_MISSING
    if USER_RECENT.max_age and now_ms - at_ms >= USER_RECENT.max_age // timedelta(milliseconds=1):
        return RecentActions(), Reason.USER_RECENT_STALE
    names = ("recent_items", "recent_actions", "recent_times_ms", "recent_dwell_ms")
    return RecentActions(*(tuple(values[name]) for name in names)), None


def _daily_lack(row: OnlineRow, due_ms: int) -> Reason | None:
    """A batch row is written on days with an interaction only, so an old row alone is no sign of a late job.

    It is stale when an interaction that it does not sum up was due in it: one from `due_ms` or before.
    """
    at_ms = row.times_ms.get(USER_DAILY.name)
    if at_ms is None:
        return Reason.USER_DAILY_MISSING
    times = row.of(USER_RECENT).get("recent_times_ms") or ()
    return Reason.USER_DAILY_STALE if any(at_ms <= time < due_ms for time in times) else None


def _numbers(daily: Mapping[str, Any]) -> dict[str, float]:
    names = [spec.name for spec in USER_DAILY.features if spec.kind in {Kind.FLOAT, Kind.LONG}]
    return {name: float(daily[name]) for name in names if daily.get(name) is not None}


def _newest(row: OnlineRow) -> int | None:
    times = list(row.of(USER_RECENT).get("recent_times_ms") or ())[-1:]
    last = row.of(USER_DAILY).get("user_last_ms")
    return max([*times, *([] if last is None else [int(last)])], default=None)
