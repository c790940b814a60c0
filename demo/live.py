"""The live part: replay events, show what three saves change, and time how fast a slate learns of an event."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from demo.clients import Api
from recloop.clock import SystemClock, format_time
from recloop.errors import ComponentUnavailable
from recloop.events import Action

BATCH_EVENTS = 200
CATCH_UP_SECONDS = 120
PROBE_SECONDS = 30
PROBE_USERS = 20


def replay(api: Api, events: Sequence[dict[str, Any]], progress: Callable[[int], None]) -> float:
    """Send events in batches and wait until the stream has the newest of each of the last users; return seconds."""
    started = time.monotonic()
    for start in range(0, len(events), BATCH_EVENTS):
        batch = events[start : start + BATCH_EVENTS]
        api.send(batch)
        progress(len(batch))
    newest = {e["user_id"]: e["event_time"] for e in events if e["action"] != Action.IMPRESSION}
    for user_id, event_time in list(newest.items())[-PROBE_USERS:]:
        wait_for(lambda user=user_id, at=event_time: (api.slate(user)["as_of"] or "") >= at,  # type: ignore[misc]
                 CATCH_UP_SECONDS, f"the stream has not caught up with user {user_id} at {event_time}")  # fmt: skip
    return time.monotonic() - started


def wait_for(holds: Callable[[], bool], seconds: float, complaint: str) -> float:
    """Ask again and again until it holds; return the seconds it took.

    Raises:
        ComponentUnavailable: it did not hold in time.
    """
    started = time.perf_counter()
    while not holds():
        if time.perf_counter() - started > seconds:
            raise ComponentUnavailable(f"{complaint} after {seconds:.0f} s; is the streaming job RUNNING? See its log.")
        time.sleep(0.002)
    return time.perf_counter() - started


def choose_user(events: Sequence[dict[str, Any]]) -> str:
    """Return the user with most interactions in the live part."""
    active = Counter(str(e["user_id"]) for e in events if e["action"] != Action.IMPRESSION)
    return active.most_common(1)[0][0]


def choose_saves(slate: dict[str, Any], items: dict[str, dict[str, Any]]) -> tuple[str | None, list[str]]:
    """Return a category that the slate hardly shows and three items of it; without categories, any three items."""
    shown = {item["item_id"] for item in slate["items"]}
    in_slate = Counter(name for item_id in shown for name in items.get(item_id, {}).get("categories", []))
    members: dict[str, list[str]] = {}
    for item_id, item in items.items():
        for name in item.get("categories", []):
            if item_id not in shown:
                members.setdefault(name, []).append(item_id)
    large = [name for name, ids in members.items() if len(ids) >= 3]
    if not large:
        return None, [item_id for item_id in items if item_id not in shown][:3]
    # Of those the slate shows least, the one with most items: a genre, not a curiosity.
    genre = min(large, key=lambda name: (in_slate[name], -len(members[name])))
    return genre, members[genre][:3]


def save(user_id: str, item_id: str) -> dict[str, Any]:
    """Return a save that happens now."""
    now = format_time(SystemClock().now())
    return {"event_id": f"demo-{uuid4()}", "event_time": now, "action": "save", "user_id": user_id, "item_id": item_id}


def save_and_wait(api: Api, user_id: str, item_ids: Sequence[str]) -> tuple[dict[str, Any], float]:
    """Save items as a user; return the first slate that knows of all of them, and the milliseconds until then."""
    before = api.slate(user_id)
    events = [save(user_id, item_id) for item_id in item_ids]
    shown = [item["item_id"] for item in before["items"]]
    started = time.perf_counter()
    api.send(events)
    after = before

    def changed() -> bool:
        nonlocal after
        after = api.slate(user_id)
        knows = (after["as_of"] or "") >= events[-1]["event_time"]
        return knows and [item["item_id"] for item in after["items"]] != shown

    wait_for(changed, PROBE_SECONDS, f"the slate of user {user_id} did not change")
    return after, (time.perf_counter() - started) * 1_000


def probe(api: Api, n: int, progress: Callable[[int], None]) -> list[float]:
    """Return milliseconds from an event to the changed slate, n times.

    Each probe saves the item at the top of a user's slate: a saved item is not shown again, so the slate must change.
    The users are the demo's own, so that nobody's history is bent; what they do comes after the retraining's data ends.
    """
    times = []
    for number in range(n):
        user_id = f"demo-probe-{number % PROBE_USERS}"
        top = api.slate(user_id)["items"][0]["item_id"]
        times.append(save_and_wait(api, user_id, [top])[1])
        progress(1)
    return times
