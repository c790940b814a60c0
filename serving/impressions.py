"""Log what was shown: one impression event per place of a slate, beside the answer, never before it.

A delivery that fails is counted: the slate was shown all the same, and a later estimate must know how many are missing.
"""

from __future__ import annotations

import logging

from recloop.errors import ComponentUnavailable
from recloop.events import Action, Event
from serving.event_log import EventLog, Message
from serving.slate_maker import Slate
from serving.telemetry import Delivery, Telemetry

LOG = logging.getLogger(__name__)


def impressions(slate: Slate) -> list[Event]:
    """Return the impressions of a slate, top first."""
    items = slate.release.recommender.items
    return [
        Event(
            event_id=f"{slate.slate_id}:{position}",
            event_time=slate.made_at,
            action=Action.IMPRESSION,
            user_id=slate.request.user_id,
            item_id=items.ids[place.row],
            slate_id=slate.slate_id,
            position=position,
            propensity=place.propensity,
            model_version=slate.release.version,
            surface=slate.request.surface,
            device=slate.request.device,
        )
        for position, place in enumerate(slate.places)
    ]


class ImpressionLog:
    """Writes impressions to the event log and counts what became of them."""

    def __init__(self, log: EventLog, telemetry: Telemetry) -> None:
        self.log = log
        self._telemetry = telemetry

    def write(self, slate: Slate) -> None:
        """Queue the impressions of a slate; returns at once and raises nothing."""
        for event in impressions(slate):
            try:
                self.log.write(Message(event.user_id, event.to_json()), self._count)
            except ComponentUnavailable:
                self._telemetry.impressions.labels(Delivery.DROPPED).inc()

    def _count(self, error: str | None) -> None:
        outcome = Delivery.DELIVERED if error is None else Delivery.FAILED
        self._telemetry.impressions.labels(outcome).inc()
