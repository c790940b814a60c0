"""The live part: replay events, show what three saves change, and time how fast a slate learns of an event."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from demo.clients import Api
from recloop.clock import SystemClock, format_time
from recloop.errors import ComponentUnavailable, SourceError
from recloop.events import Action

BATCH_EVENTS = 200
CATCH_UP_SECONDS = 120
PROBE_SECONDS = 30
PROBE_USERS = 20
MAX_CANDIDATES = 20
N_SAVES = 3


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


def choose_user(api: Api, events: Sequence[dict[str, Any]]) -> str:
    """Return the most active user of the live part of whom serving knows all, history included; else the most active.

    Raises:
        SourceError: nobody did anything in the live part.
    """
    active = Counter(str(e["user_id"]) for e in events if e["action"] != Action.IMPRESSION)
    if not active:
        raise SourceError("the live part holds impressions only; give a log that ends with what users did.")
    candidates = [user_id for user_id, _ in active.most_common(MAX_CANDIDATES)]
    return next((user_id for user_id in candidates if not api.slate(user_id)["degraded"]), candidates[0])


def choose_saves(
    places: Sequence[dict[str, Any]], categories: Mapping[str, Sequence[str]], *, k: int
) -> tuple[str | None, list[str]]:
    """Return a category and three items of it to save, out of a long list of recommendations.

    Args:
        places: the list, best first; its first `k` are the slate.
        categories: item → its categories.
        k: length of the slate.

    Returns:
        Of the categories with three items below the slate the one the slate shows least (of those the commonest), and
        its three best items. Where there is none: None and the three best items below the slate.
    """
    item_ids = [place["item_id"] for place in places]
    in_slate = count_categories(item_ids[:k], categories)
    below = count_categories(item_ids[k:], categories)
    large = [name for name, count in below.items() if count >= N_SAVES]
    if not large:
        return None, item_ids[k : k + N_SAVES]
    chosen = min(large, key=lambda name: (in_slate[name], -below[name], name))
    return chosen, [item_id for item_id in item_ids[k:] if chosen in categories.get(item_id, ())][:N_SAVES]


def count_categories(item_ids: Iterable[str], categories: Mapping[str, Sequence[str]]) -> Counter[str]:
    """Return how many of the items have each category."""
    return Counter(name for item_id in item_ids for name in set(categories.get(item_id, ())))


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
        # A slate that the deadline cut short differs too, and proves nothing.
        whole = after["served_by"] == before["served_by"] or after["served_by"] == "model"
        return knows and whole and [item["item_id"] for item in after["items"]] != shown

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
