"""A log of which the newest days hold impressions: the synthetic history, then what was shown and clicked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from recloop.events import Action, Event
from tests.training.synthetic import N_ITEMS, START, SyntheticSource

HISTORY_DAYS = 26
FIRST_DAY, DAY = START + timedelta(days=HISTORY_DAYS), timedelta(days=1)
PER_DAY = 300
UNKNOWN = ("x0", "x1")
"""Items that no bundle has heard of; the user `new` is one it has not heard of either."""


def shown_log() -> list[Event]:
    """Return the synthetic history up to FIRST_DAY and all that was shown after it."""
    return [*(event for event in SyntheticSource().events() if event.event_time < FIRST_DAY), *shown_events()]


def shown_events() -> list[Event]:
    """Return PER_DAY exposures on each of the three days after the history; who likes an item's kind clicks."""
    generator = np.random.default_rng(8)
    events = []
    for place, seconds in enumerate(np.sort(generator.integers(0, 3 * 86_400 - 60, size=3 * PER_DAY))):
        at = FIRST_DAY + place // PER_DAY * DAY + timedelta(seconds=int(seconds) % 86_400)
        user, item = int(generator.integers(30)), int(generator.integers(N_ITEMS))
        fields: dict[str, Any] = {
            "event_time": at, "user_id": "new" if place % 20 == 0 else f"u{user:02}", "slate_id": f"s{place}",
            "item_id": UNKNOWN[place % 2] if place % 15 == 0 else f"i{item:02}", "surface": "home",
        }  # fmt: skip
        events.append(Event(event_id=f"shown{place}", action=Action.IMPRESSION, **fields))
        if generator.random() < (0.7 if item % 3 == user % 3 else 0.2):
            events.append(Event(event_id=f"clicked{place}", action=Action.CLICK, **fields))
    return events


def write_log(folder: Path, events: Iterable[Event], *, extra_items: int = 0) -> Path:
    folder.mkdir()
    (folder / "events.jsonl").write_bytes(b"".join(event.to_json() + b"\n" for event in events))
    items = [item.model_dump_json(exclude_none=True) for item in SyntheticSource().items()]
    # Named so that they come before all others: each item then has another row than in the bundle.
    items += [json.dumps({"item_id": f"a{place}"}) for place in range(extra_items)]
    (folder / "items.jsonl").write_text("\n".join(items) + "\n")
    return folder
