"""A source's log in arrays: what lies before the end, in one order whatever order the source has at one moment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from recloop.errors import SourceError, TrainingError
from recloop.events import Event
from recloop.labels import Head, outcome
from recloop.sequences import event_hash
from recloop.tables import Column
from recloop.training_set import INTERACTION_COLUMNS
from tests.lake import DAY_0, event, random_log
from tests.training.listed_source import ListedSource
from training.source import log as source_log
from training.source.log import TIME_MS, interaction_rows, read_log

HOUR = timedelta(hours=1)
MS = timedelta(milliseconds=1)


def test_end_is_not_read_and_the_millisecond_before_is() -> None:
    log = [event("a", "click", at=DAY_0 + HOUR - MS), event("b", "click", at=DAY_0 + HOUR)]
    found = read_log(ListedSource(log), until=DAY_0 + HOUR)
    assert found.columns[Column.EVENT_ID].to_pylist() == ["a"]
    assert found.span == (DAY_0 + HOUR - MS, DAY_0 + HOUR)


def test_impression_comes_first_at_its_millisecond_then_the_smaller_id() -> None:
    later = DAY_0 + timedelta(microseconds=900)
    log = [event("a", "click"), event("z", "impression", at=later), event("y", "impression"), event("b", "view")]
    found = read_log(ListedSource(log), until=DAY_0 + HOUR)
    assert found.columns[Column.EVENT_ID].to_pylist() == ["y", "z", "a", "b"]
    assert found.interacted.tolist() == [False, False, True, True]


def test_pieces_make_one_log_with_codes_and_heads_of_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    log = random_log(1, n_events=200)
    whole = read_log(ListedSource(log), until=DAY_0 + timedelta(days=9))
    monkeypatch.setattr(source_log, "BATCH_ROWS", 7)
    found = read_log(ListedSource(log), until=DAY_0 + timedelta(days=9))
    assert found.columns.equals(whole.columns)
    of_id = {each.event_id: each for each in log}
    assert len(found) == len(log)
    for row, event_id in enumerate(found.columns[Column.EVENT_ID].to_pylist()):
        each = of_id[event_id]
        assert (found.user_ids[found.users[row]], found.item_ids[found.items[row]]) == (each.user_id, each.item_id)
        assert dict(zip(Head, found.heads[row], strict=True)) == outcome(each)


def test_interactions_are_by_user_time_and_hash() -> None:
    log = [*random_log(2, n_events=300), event("shown", "impression")]
    rows = interaction_rows(read_log(ListedSource(log), until=DAY_0 + timedelta(days=9))).to_pylist()
    expected = [each for each in log if each.action != "impression"]
    assert 0 < len(expected) < len(log)
    assert list(rows[0]) == [str(name) for name in INTERACTION_COLUMNS]
    assert [(row["user_id"], row[TIME_MS], row["event_hash"]) for row in rows] == sorted(
        (each.user_id, round(each.event_time.timestamp() * 1_000), event_hash(each.event_id)) for each in expected
    )
    assert sorted(row["dwell_ms"] for row in rows) == sorted(each.dwell_ms or 0 for each in expected)


def test_nothing_before_the_end_names_the_span_that_is_there() -> None:
    log = [event("a", "click"), event("b", "click", at=DAY_0 + HOUR)]
    with pytest.raises(TrainingError, match=r"from 2022-05-01T00:00:00.000Z to 2022-05-01T01:00:00.000Z; expected"):
        read_log(ListedSource(log), until=DAY_0)


def test_empty_source_says_so() -> None:
    with pytest.raises(TrainingError, match="the source listed holds no event"):
        read_log(ListedSource([]), until=DAY_0)


def test_what_a_source_left_out_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    source = ListedSource([event("a", "click")], repeated=2, malformed=[b"torn", b"{}"], reason="body: no JSON")
    with caplog.at_level(logging.WARNING):
        assert read_log(source, until=DAY_0 + HOUR).left_out == {"malformed": 2, "repeated": 2}
    assert [record.getMessage() for record in caplog.records] == [
        "listed: left out 2 malformed lines, the first for this: body: no JSON",
        "listed: left out 2 events that repeat an earlier one.",
    ]


def test_source_that_left_nothing_out_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    found = read_log(ListedSource([event("a", "click")]), until=DAY_0 + HOUR)
    assert found.left_out == {"malformed": 0, "repeated": 0}
    assert caplog.records == []


def test_error_of_a_source_comes_through() -> None:
    class Torn(ListedSource):
        def events(self) -> Iterator[Event]:
            yield event("a", "click")
            raise SourceError("log.csv line 2 cannot be read")

    with pytest.raises(SourceError, match="line 2 cannot be read"):
        read_log(Torn([]), until=DAY_0 + HOUR)
