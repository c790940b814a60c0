"""The attribution rule, one test per clause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recloop.events import Action, Event
from recloop.labels import Head, LabelRow, attribute, is_long_view
from recloop.tables import Origin

START = datetime(2022, 5, 1, tzinfo=UTC)
WINDOW = timedelta(hours=24)


def event(event_id: str, action: Action, *, after: timedelta = timedelta(0), **fields: object) -> Event:
    return Event(event_id=event_id, event_time=START + after, action=action, user_id="u", item_id="i", **fields)  # type: ignore[arg-type]


def rows(*events: Event) -> dict[str, LabelRow]:
    return {row.cause.event_id: row for row in attribute(events, window=WINDOW)}


def test_click_inside_the_window_is_a_label_of_its_impression() -> None:
    found = rows(event("shown", Action.IMPRESSION), event("click", Action.CLICK, after=timedelta(hours=1)))
    assert found["shown"].outcomes == {Head.CLICK}
    assert len(found) == 1


def test_click_at_the_end_of_the_window_is_organic() -> None:
    found = rows(event("shown", Action.IMPRESSION), event("click", Action.CLICK, after=WINDOW))
    assert found["shown"].outcomes == frozenset()
    assert found["click"].origin is Origin.ORGANIC


def test_newest_impression_gets_the_click() -> None:
    found = rows(
        event("first", Action.IMPRESSION),
        event("second", Action.IMPRESSION, after=timedelta(hours=1)),
        event("click", Action.CLICK, after=timedelta(hours=2)),
    )
    assert [found["first"].outcomes, found["second"].outcomes] == [frozenset(), {Head.CLICK}]


def test_named_slate_wins_over_a_newer_impression_of_another_slate() -> None:
    found = rows(
        event("first", Action.IMPRESSION, slate_id="a"),
        event("second", Action.IMPRESSION, after=timedelta(hours=1), slate_id="b"),
        event("click", Action.CLICK, after=timedelta(hours=2), slate_id="a"),
    )
    assert found["first"].outcomes == {Head.CLICK}


def test_interaction_at_the_millisecond_of_its_impression_belongs_to_it() -> None:
    found = rows(event("z-shown", Action.IMPRESSION), event("a-click", Action.CLICK))
    assert found["z-shown"].outcomes == {Head.CLICK}


def test_save_counts_as_click_and_like() -> None:
    assert rows(event("save", Action.SAVE))["save"].outcomes == {Head.CLICK, Head.LIKE}


def test_organic_interactions_of_one_moment_are_one_row() -> None:
    found = rows(event("a", Action.CLICK), event("b", Action.HIDE))
    assert {key: row.outcomes for key, row in found.items()} == {"a": {Head.CLICK, Head.HIDE}}


def test_no_events_give_no_rows() -> None:
    assert attribute([], window=WINDOW) == []


@pytest.mark.parametrize(
    ("action", "dwell_ms", "duration_ms", "expected"),
    [
        pytest.param("view", 17_999, 60_000, False, id="just_short"),
        pytest.param("view", 18_000, 60_000, True, id="eighteen_seconds"),
        pytest.param("view", 7_000, 7_000, True, id="short_item_to_its_end"),
        pytest.param("view", None, 7_000, False, id="no_dwell"),
        pytest.param("long_view", None, None, True, id="the_source_says_so"),
        pytest.param("click", 60_000, None, False, id="not_a_view"),
    ],
)
def test_long_view_rule(action: str, dwell_ms: int | None, duration_ms: int | None, expected: bool) -> None:
    assert is_long_view(action, dwell_ms, duration_ms) is expected
