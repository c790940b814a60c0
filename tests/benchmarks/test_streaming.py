"""The events with which the stream job is measured, and the wait for what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from benchmarks import streaming
from benchmarks.streaming import main, view, wait_for_item
from recloop.clock import SystemClock
from recloop.errors import ComponentUnavailable
from recloop.events import Action, Event, parse_event
from recloop.sequences import Entry, RecentActions


class SlowRows:
    """Online rows in which a user's item is found when they are read for the n-th time."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.asked: list[str] = []

    def read(self, user_id: str) -> RecentActions:
        self.asked.append(user_id)
        known = ("other", "wanted") if len(self.asked) >= self.n else ("other",)
        return RecentActions(known, ("view",) * len(known), (1,) * len(known), (0,) * len(known))

    def write(self, rows: Mapping[str, Sequence[Entry]]) -> None:
        raise NotImplementedError


def test_view_is_an_event_of_now_that_the_job_accepts() -> None:
    event = parse_event(view("mark", 7, user_id="u", item_id="i"), received_at=SystemClock().now())
    assert isinstance(event, Event)
    assert (event.event_id, event.action, event.user_id, event.item_id) == ("mark-7", Action.VIEW, "u", "i")
    assert timedelta(0) <= SystemClock().now() - event.event_time < timedelta(minutes=1)


def test_wait_is_over_when_the_item_is_in_the_row() -> None:
    rows = SlowRows(3)
    wait_for_item(rows, "u", "wanted")
    assert rows.asked == ["u", "u", "u"]


def test_item_that_does_not_come_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SECONDS_TO_WAIT", 0)
    with pytest.raises(ComponentUnavailable, match=r"not in its user's row after 0 s\. Start the stream job"):
        wait_for_item(SlowRows(10**9), "u", "wanted")


@pytest.mark.parametrize("option", ["--probes", "--burst", "--users"])
def test_numbers_that_leave_nothing_to_measure_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([option, "0"])
    assert "--probes, --burst and --users are 1 or more" in capsys.readouterr().err
