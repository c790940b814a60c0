from __future__ import annotations

import pytest

from demo.live import choose_saves, choose_user, wait_for
from recloop.errors import ComponentUnavailable

ITEMS = {
    f"{genre}{n}": {"item_id": f"{genre}{n}", "categories": [genre]} for genre in ("drama", "comedy") for n in range(5)
}


def slate(*item_ids: str) -> dict[str, object]:
    return {"items": [{"item_id": item_id} for item_id in item_ids]}


def test_saves_are_of_a_genre_the_slate_does_not_show() -> None:
    genre, saves = choose_saves(slate("drama0", "drama1"), ITEMS)
    assert genre == "comedy"
    assert len(set(saves)) == 3
    assert {ITEMS[item_id]["categories"][0] for item_id in saves} == {"comedy"}


def test_shown_items_are_not_saved() -> None:
    _, saves = choose_saves(slate(*(f"comedy{n}" for n in range(4)), *(f"drama{n}" for n in range(2))), ITEMS)
    assert saves == ["drama2", "drama3", "drama4"]


def test_catalogue_without_categories_gives_any_three() -> None:
    bare = {str(n): {"item_id": str(n)} for n in range(5)}
    assert choose_saves(slate("0"), bare) == (None, ["1", "2", "3"])


def test_most_active_user_is_chosen_impressions_not_counted() -> None:
    events = [{"user_id": "a", "action": "impression"}] * 5 + [{"user_id": "b", "action": "save"}]
    assert choose_user(events) == "b"


def test_waiting_too_long_says_what_for() -> None:
    with pytest.raises(ComponentUnavailable, match="nothing came after 0 s"):
        wait_for(lambda: False, 0.01, "nothing came")
