"""The page for senders is complete, and its examples are what it says they are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from recloop.catalog import CatalogItem, CatalogUser
from recloop.errors import EventRejected
from recloop.events import MAX_EVENT_BYTES, Action, Event, parse_event
from recloop.settings import PROJECT_DIR, Port, Settings
from serving.api import Reason, RecommendRequest, ServedBy, SlateAnswer, SlateItem
from serving.intake import MAX_BODY_BYTES, MAX_EVENTS, MAX_PROBLEMS
from tests.serving.bundles import NOW

PAGE = (PROJECT_DIR / "docs" / "events.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        *Action, *ServedBy, *Reason, *Event.model_fields, *RecommendRequest.model_fields, *SlateAnswer.model_fields,
        *SlateItem.model_fields, *CatalogItem.model_fields, *CatalogUser.model_fields,
    ],
)  # fmt: skip
def test_every_name_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("number", [MAX_EVENT_BYTES, MAX_BODY_BYTES, MAX_EVENTS, MAX_PROBLEMS])
def test_every_limit_is_on_the_page(number: int) -> None:
    assert f"{number:,}" in PAGE


def test_needed_fields_are_the_required_ones() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \| [^|]+ \| [^|]+ \|$", PAGE, flags=re.MULTILINE)
    assert {name for name, needed in rows if needed == "yes"} == {
        name for name, field in Event.model_fields.items() if field.is_required()
    }
    assert [name for name, _ in rows] == list(Event.model_fields)


def test_address_is_the_default_one() -> None:
    ports_from = Settings.model_fields["ports_from"].default
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", PAGE)) == {str(ports_from + Port.SERVING)}


def examples() -> list[Any]:
    """Return what each curl of the page posts to the events."""
    return [json.loads(body) for body in re.findall(r"/v1/events[^\n]*-d '([^']+)'", PAGE)]


def test_examples_are_well_formed_but_for_those_shown_as_malformed() -> None:
    one, several, malformed = examples()
    for event in [one, *several]:
        parse_event(json.dumps(event), received_at=NOW)
    with pytest.raises(EventRejected):
        parse_event(json.dumps(malformed[1]), received_at=NOW)


def test_answer_shown_for_malformed_events_is_the_one_given(lonely_client: TestClient) -> None:
    shown = json.loads(re.search(r'^ +(\{"detail": \[.*?\]\})$', PAGE, flags=re.MULTILINE | re.DOTALL)[1])  # type: ignore[index]
    assert lonely_client.post("/v1/events", json=examples()[2]).json() == shown


def test_rows_of_files_are_well_formed() -> None:
    item, user = (json.loads(line) for line in re.findall(r'^\{"(?:item_id|user_id)".*\}$', PAGE, flags=re.MULTILINE))
    assert CatalogItem.model_validate(item).categories == ("animation", "comedy")
    assert CatalogUser.model_validate(user).segment == "students"


def test_actions_count_as_the_page_says(make_event: Callable[..., Any]) -> None:
    from recloop.labels import Head, outcome

    seen = set()
    words = {Head.CLICK: "click", Head.LIKE: "like", Head.LONG_VIEW: "long view", Head.HIDE: "hide"}
    for actions, counts_as in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|$", PAGE, flags=re.MULTILINE):
        for action in [name for name in re.findall(r"`(\w+)`", actions) if name in set(Action)]:
            event = parse_event(json.dumps(make_event(action=action, dwell_ms=18_000)), received_at=NOW)
            expected = {word for head, word in words.items() if outcome(event)[head]}
            named = {word for word in words.values() if re.search(rf"\b{word}\b", counts_as)}
            assert named == expected, action
            seen.add(action)
    assert seen == set(Action)
