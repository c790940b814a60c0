"""Labels: what a user did with an item that was shown, or with one that the user found without being shown.

A label row is one impression with the interactions of the same user and item in `[shown, shown + window)`; an
interaction that no impression explains is *organic* and makes a row of its own, with itself as the moment.
The Spark job does the same over the lake; tests/parity holds the two together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from recloop.events import Action, Event
from recloop.tables import Column, Origin


class Head(StrEnum):
    """The outcomes a model predicts, one head each; label columns have their names."""

    CLICK = Column.CLICK
    LONG_VIEW = Column.LONG_VIEW
    LIKE = Column.LIKE
    HIDE = Column.HIDE


LONG_VIEW_MS = 18_000
"""A view is long from 18 s on, or when a shorter item was seen to its end (KuaiRand's rule)."""

LIKE_ACTIONS = (Action.SAVE, Action.LIKE, Action.SHARE, Action.FOLLOW, Action.PURCHASE)
CLICK_ACTIONS = (Action.CLICK, Action.COMMENT, *LIKE_ACTIONS)
HIDE_ACTIONS = (Action.HIDE,)


def is_long_view(action: str, dwell_ms: int | None, duration_ms: int | None) -> bool:
    """Tell whether one event is a long view.

    >>> is_long_view("view", 18_000, None), is_long_view("view", 9_000, 9_000), is_long_view("view", 9_000, 60_000)
    (True, True, False)
    """
    if action == Action.LONG_VIEW:
        return True
    if action != Action.VIEW or dwell_ms is None:
        return False
    return dwell_ms >= min(LONG_VIEW_MS, duration_ms or LONG_VIEW_MS)


def outcome(event: Event) -> dict[Head, bool]:
    """Return which heads one event makes positive."""
    return {
        Head.CLICK: event.action in CLICK_ACTIONS,
        Head.LONG_VIEW: is_long_view(event.action, event.dwell_ms, event.duration_ms),
        Head.LIKE: event.action in LIKE_ACTIONS,
        Head.HIDE: event.action in HIDE_ACTIONS,
    }


@dataclass(frozen=True)
class LabelRow:
    """One row of the labels table, as far as the rule decides it; `cause` is the impression or organic interaction.

    `known_at` is the time of the newest event that made the row: before it, nobody knew all of its outcomes.
    """

    cause: Event
    origin: Origin
    outcomes: frozenset[Head]
    known_at: datetime


def attribute(events: Iterable[Event], *, window: timedelta) -> list[LabelRow]:
    """Join interactions to impressions; the reference of `jobs.etl.attribute_labels`.

    An interaction belongs to the newest impression of its user and item that is not after it and less than `window`
    before it; when both name a slate, only to one of the same slate. Organic interactions of one user with one item at
    the same millisecond are one row. Rows come in (event_time, event_id) order of their cause.
    """
    ordered = sorted(events, key=lambda event: (event.event_time, event.event_id))
    shown: dict[tuple[str, str], list[Event]] = defaultdict(list)
    causes: dict[str, tuple[Event, Origin]] = {}
    outcomes: dict[str, set[Head]] = defaultdict(set)
    known_at: dict[str, datetime] = {}
    organic: dict[tuple[str, str, object], str] = {}
    # Impressions first at a tie: an interaction logged at the same millisecond was caused by the impression.
    for event in sorted(ordered, key=lambda event: (event.event_time, event.action != Action.IMPRESSION)):
        pair = (event.user_id, event.item_id)
        if event.action == Action.IMPRESSION:
            shown[pair].append(event)
            causes[event.event_id] = (event, Origin.IMPRESSION)
            known_at[event.event_id] = event.event_time
            continue
        cause = _cause(event, shown[pair], window)
        if cause is None:
            cause_id = organic.setdefault((*pair, event.event_time), event.event_id)
            causes.setdefault(cause_id, (event, Origin.ORGANIC))
        else:
            cause_id = cause.event_id
        outcomes[cause_id].update(head for head, positive in outcome(event).items() if positive)
        known_at[cause_id] = max(event.event_time, known_at.get(cause_id, event.event_time))
    rows = [LabelRow(event, origin, frozenset(outcomes[key]), known_at[key]) for key, (event, origin) in causes.items()]
    return sorted(rows, key=lambda row: (row.cause.event_time, row.cause.event_id))


def _cause(event: Event, shown: list[Event], window: timedelta) -> Event | None:
    for impression in reversed(shown):
        if event.event_time - impression.event_time >= window:
            return None
        if event.slate_id is None or impression.slate_id is None or event.slate_id == impression.slate_id:
            return impression
    return None
