"""Who is shown, what is saved, and what counts as a changed slate."""

from __future__ import annotations

from typing import Any

import pytest

from demo.clients import Api
from demo.live import choose_saves, choose_user, count_categories, probe, replay, save_and_wait, wait_for
from recloop.errors import ComponentUnavailable, SourceError
from tests.demo.conftest import Answers

SLATES, EVENTS = "/v1/recommendations", "/v1/events"
EVER_AFTER = "2999-01-01T00:00:00.000Z"
CATEGORIES = {f"{genre}{n}": [genre] for genre in ("drama", "comedy", "noir") for n in range(5)}


def places(*item_ids: str) -> list[dict[str, Any]]:
    return [{"item_id": item_id} for item_id in item_ids]


def slate(*item_ids: str, as_of: str | None = None, served_by: str = "model", degraded: Any = ()) -> dict[str, Any]:
    return {"items": places(*item_ids), "as_of": as_of, "served_by": served_by, "degraded": list(degraded)}


def test_saves_are_of_the_genre_the_slate_shows_least() -> None:
    listed = places("drama0", "drama1", "comedy0", "comedy1", "drama2", "comedy2", "comedy3", "drama3", "drama4")
    assert choose_saves(listed, CATEGORIES, k=2) == ("comedy", ["comedy0", "comedy1", "comedy2"])


def test_genre_with_too_few_items_below_the_slate_is_left_out() -> None:
    listed = places("drama0", "noir0", "noir1", "drama1", "drama2", "drama3")
    assert choose_saves(listed, CATEGORIES, k=1) == ("drama", ["drama1", "drama2", "drama3"])


def test_catalogue_without_categories_gives_the_best_three_below_the_slate() -> None:
    assert choose_saves(places("a", "b", "c", "d", "e"), {}, k=1) == (None, ["b", "c", "d"])


def test_category_named_twice_counts_once() -> None:
    assert count_categories(["a"], {"a": ["x", "x"]}) == {"x": 1}


def test_most_active_user_of_whom_all_is_known_is_chosen(served: Answers) -> None:
    events = [{"user_id": "viewer", "action": "impression"}] * 5 + [{"user_id": "new", "action": "save"}] * 3
    events += [{"user_id": "known", "action": "click"}] * 2
    served.say(SLATES, 200, slate("a", degraded=["user_daily_missing"]))
    served.say(SLATES, 200, slate("a"))
    assert choose_user(Api(served.settings), events) == "known"
    assert [body["user_id"] for _, _, body in served.asked] == ["new", "known"]


def test_log_that_ends_without_interactions_is_refused(served: Answers) -> None:
    with pytest.raises(SourceError, match="impressions only"):
        choose_user(Api(served.settings), [{"user_id": "a", "action": "impression"}])


@pytest.mark.parametrize(
    "not_yet",
    [
        slate("b", as_of=None),  # changed, but not by this event
        slate("a", as_of=EVER_AFTER),  # knows the event, shows the same
        slate("b", as_of=EVER_AFTER, served_by="popularity"),  # the deadline cut it short
    ],
    ids=["event_unknown", "same_items", "fallback"],
)
def test_slate_counts_as_changed_only_when_it_knows_the_event_and_differs(
    served: Answers, not_yet: dict[str, Any]
) -> None:
    served.say(EVENTS, 202, {"accepted": 1})
    for answer in (slate("a"), not_yet, not_yet, slate("b", as_of=EVER_AFTER)):
        served.say(SLATES, 200, answer)
    after, milliseconds = save_and_wait(Api(served.settings), "u", ["x"])
    assert after == slate("b", as_of=EVER_AFTER)
    assert milliseconds > 0
    assert len([path for _, path, _ in served.asked if path == SLATES]) == 4


def test_probe_saves_the_top_of_the_slate(served: Answers) -> None:
    served.say(EVENTS, 202, {"accepted": 1})
    for answer in (slate("top", "x"), slate("top", "x"), slate("x", as_of=EVER_AFTER)):
        served.say(SLATES, 200, answer)
    assert len(probe(Api(served.settings), 1, lambda done: None)) == 1
    sent = next(body for _, path, body in served.asked if path == EVENTS)
    assert [(event["item_id"], event["action"]) for event in sent] == [("top", "save")]


def test_replay_sends_all_in_order_and_waits_for_the_newest(served: Answers) -> None:
    events = [
        {"user_id": "u", "action": "click", "event_time": f"2026-01-01T00:00:{n % 60:02}.000Z", "n": n}
        for n in range(450)
    ]
    served.say(EVENTS, 202, {"accepted": 1})
    served.say(SLATES, 200, slate(as_of=None))
    served.say(SLATES, 200, slate(as_of=events[-1]["event_time"]))
    done: list[int] = []
    replay(Api(served.settings), events, done.append)
    sent = [body for _, path, body in served.asked if path == EVENTS]
    assert [event["n"] for batch in sent for event in batch] == list(range(450))
    assert done == [200, 200, 50]
    assert [path for _, path, _ in served.asked][-2:] == [SLATES, SLATES]


def test_waiting_too_long_says_what_for() -> None:
    with pytest.raises(ComponentUnavailable, match="nothing came after 0 s"):
        wait_for(lambda: False, 0.01, "nothing came")
