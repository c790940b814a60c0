"""Every request is counted: answered, refused, or not answered at all."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from demo import traffic
from demo.traffic import SteadyTraffic
from recloop.settings import Settings
from tests.demo.conftest import Answers


@pytest.fixture(autouse=True)
def quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "REQUESTS_PER_SECOND", 100)


def run_until(settings: Settings, enough: Callable[[SteadyTraffic], bool]) -> SteadyTraffic:
    until = time.monotonic() + 10
    with SteadyTraffic(settings, ["a", "b"]) as running:
        while not enough(running) and time.monotonic() < until:
            time.sleep(0.01)
    return running


def test_answers_are_counted_by_how_they_were_made(served: Answers) -> None:
    served.say("/v1/recommendations", 200, {"served_by": "model"})
    done = run_until(served.settings, lambda running: running.sent >= 5)
    assert (done.served_by["model"], done.failed) == (done.sent, 0)


def test_answer_other_than_200_is_a_failed_request(served: Answers) -> None:
    served.say("/v1/recommendations", 503, {})
    served.say("/v1/recommendations", 200, {"served_by": "popularity"})
    done = run_until(served.settings, lambda running: running.sent >= 5)
    assert (done.failed, done.served_by["popularity"]) == (1, done.sent - 1)


def test_nobody_listening_is_a_failed_request(settings: Settings) -> None:
    done = run_until(settings, lambda running: running.sent >= 3)
    assert done.failed == done.sent >= 3
