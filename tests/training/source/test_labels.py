"""Labels over arrays are those of the kernel's rule, ties, slates and windows included."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from recloop.clock import to_ms
from recloop.events import Event
from recloop.labels import Head, attribute
from recloop.tables import Origin
from tests.lake import DAY_0, event, random_log
from tests.training.listed_source import ListedSource
from training.source.labels import exposure_rows, label_rows
from training.source.log import read_log

HOUR = timedelta(hours=1)
END = DAY_0 + timedelta(days=30)
Rows = dict[str, tuple[Any, ...]]


def by_kernel(log: list[Event], window: timedelta) -> Rows:
    return {
        row.cause.event_id: (
            str(row.origin),
            to_ms(row.cause.event_time),
            *(getattr(row.cause, name) for name in ("user_id", "item_id", "slate_id", "position", "surface")),
            *(int(head in row.outcomes) for head in Head),
        )
        for row in attribute(log, window=window)
    }


def by_arrays(log: list[Event], window: timedelta, **limits: Any) -> Rows:
    rows = label_rows(read_log(ListedSource(log), until=END), window=window, **{"start_ms": 0, **limits}).to_pylist()
    assert rows == sorted(rows, key=lambda row: (row["event_time_ms"], row["label_id"]))
    names = ("origin", "event_time_ms", "user_id", "item_id", "slate_id", "position", "surface", *Head)
    found = {row["label_id"]: tuple(row[name] for name in names) for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("hours", [1, 24])
@pytest.mark.parametrize("seed", range(6))
def test_random_log_with_ties(seed: int, hours: int) -> None:
    # 500 events on 5 x 6 pairs in 864 ten-minute slots: pairs meet themselves at the same moment many times.
    log, window = random_log(seed, n_events=500), timedelta(hours=hours)
    expected = by_kernel(log, window)
    assert {row[0] for row in expected.values()} == set(Origin)
    assert by_arrays(log, window) == expected


def test_edges_of_the_window_and_ties() -> None:
    log = [
        event("shown-b", "impression", position=3, surface="home"),
        event("shown-a", "impression"),
        event("same-moment", "click"),
        event("last-moment", "save", at=DAY_0 + HOUR - timedelta(milliseconds=1)),
        event("too-late", "hide", at=DAY_0 + HOUR),
        event("too-late-too", "click", at=DAY_0 + HOUR),
    ]
    found = by_arrays(log, HOUR)
    assert found == by_kernel(log, HOUR)
    # Both interactions belong to the impression with the larger id; the two late ones are one organic row.
    assert found["shown-b"][-4:] == (1, 0, 1, 0)
    assert found["shown-a"][-4:] == (0, 0, 0, 0)
    assert found["too-late"][-4:] == (1, 0, 0, 1)
    assert len(found) == 3


def test_newer_impression_of_another_slate_explains_nothing() -> None:
    log = [
        event("one", "impression", slate_id="s1"),
        event("two", "impression", slate_id="s2", at=DAY_0 + timedelta(minutes=1)),
        event("of-one", "click", slate_id="s1", at=DAY_0 + timedelta(minutes=2)),
    ]
    found = by_arrays(log, HOUR)
    assert found == by_kernel(log, HOUR)
    assert (found["one"][-4:], found["two"][-4:]) == ((1, 0, 0, 0), (0, 0, 0, 0))


@pytest.mark.parametrize("action", ["impression", "click"])
def test_log_of_one_event_is_one_row(action: str) -> None:
    assert by_arrays([event("a", action)], HOUR) == by_kernel([event("a", action)], HOUR)


def test_rows_before_the_start_are_left_out_and_still_explain() -> None:
    log = [event("shown", "impression"), event("saved", "save", at=DAY_0 + HOUR / 2)]
    assert by_arrays(log, HOUR, start_ms=to_ms(DAY_0) + 1) == {}


def test_newest_are_kept_and_at_one_moment_the_smaller_ids() -> None:
    log = [event(name, "click", item=name, at=DAY_0 + HOUR) for name in ("b", "a", "c")] + [event("old", "click")]
    assert list(by_arrays(log, HOUR, most=2)) == ["a", "b"]


def exposures(log: list[Event], window: timedelta) -> list[dict[str, Any]]:
    return exposure_rows(read_log(ListedSource(log), until=END), window=window).to_pylist()


@pytest.mark.parametrize("seed", range(3))
def test_exposures_are_the_rows_of_impressions_as_their_outcomes_were_known(seed: int) -> None:
    log = random_log(seed, n_events=500)
    expected: list[dict[str, Any]] = [
        {
            "user_id": row.cause.user_id,
            "item_id": row.cause.item_id,
            "event_time_ms": to_ms(row.cause.event_time),
            "known_at_ms": to_ms(row.known_at),
            "surface": row.cause.surface,
            **{str(head): int(head in row.outcomes) for head in Head},
        }
        for row in attribute(log, window=24 * HOUR)
        if row.origin == Origin.IMPRESSION
    ]
    assert any(row["known_at_ms"] > row["event_time_ms"] for row in expected)
    order = ("known_at_ms", "user_id", "item_id", "event_time_ms", *(str(head) for head in Head))
    assert exposures(log, 24 * HOUR) == sorted(expected, key=lambda row: tuple(row[name] for name in order))


def test_exposures_known_at_one_moment_come_in_the_same_order_whatever_their_ids() -> None:
    first, later = DAY_0, DAY_0 + HOUR / 2
    shown = [(later, "home", "s2"), (first, "home", "s1"), (later, "search", "s3"), (later, None, "s4")]
    for ids in permutations("abcd"):
        log = [
            event(name, "impression", at=at, surface=surface, slate_id=slate)
            for name, (at, surface, slate) in zip(ids, shown, strict=True)
        ]
        log += [event("of-the-first", "click", at=later, slate_id="s1")]
        assert [(row["event_time_ms"], row["surface"], row["click"]) for row in exposures(log, HOUR)] == [
            (to_ms(first), "home", 1),
            (to_ms(later), "home", 0),
            (to_ms(later), "search", 0),
            (to_ms(later), None, 0),
        ]
