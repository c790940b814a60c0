"""Seconds between the alias's move and the new model's answer."""

from __future__ import annotations

import time

import pytest

from demo import swap
from demo.clients import Api, Registry
from demo.swap import SwapWatch, move_alias, wait_until_serving
from recloop.bundles import Alias
from recloop.errors import ComponentUnavailable
from tests.demo.conftest import Answers

ALIAS, RELEASE = "/api/2.0/mlflow/registered-models/alias", "/v1/release"


def points_at(version: str) -> dict[str, dict[str, str]]:
    return {"model_version": {"version": version}}


def clients(served: Answers) -> tuple[Registry, Api]:
    return Registry(served.settings, Alias.CHAMPION), Api(served.settings)


def test_watch_counts_from_the_last_look_at_the_old_alias(served: Answers) -> None:
    for version in ("1", "1", "2"):
        served.say(ALIAS, 200, points_at(version))
    for version in ("1", "1", "2"):
        served.say(RELEASE, 200, {"version": version})
    with SwapWatch(*clients(served)) as watch:
        until = time.monotonic() + 10
        while watch.seconds is None and time.monotonic() < until:
            time.sleep(0.01)
    # One pause between the last look at the old alias and the first at the new one, three while serving follows.
    assert watch.seconds is not None
    assert watch.seconds >= 3 * swap.CHECK_SECONDS


def test_watch_outlasts_a_registry_that_does_not_answer(served: Answers) -> None:
    served.say(ALIAS, 200, points_at("1"))
    served.say(ALIAS, 503, {})
    served.say(ALIAS, 200, points_at("2"))
    served.say(RELEASE, 200, {"version": "2"})
    with SwapWatch(*clients(served)) as watch:
        until = time.monotonic() + 10
        while watch.seconds is None and time.monotonic() < until:
            time.sleep(0.01)
    assert watch.seconds is not None


def test_alias_that_does_not_move_gives_no_seconds(served: Answers) -> None:
    served.say(ALIAS, 200, points_at("1"))
    with SwapWatch(*clients(served)) as watch:
        time.sleep(3 * swap.CHECK_SECONDS)
    assert watch.seconds is None


def test_moving_by_hand_waits_for_serving(served: Answers) -> None:
    served.say(ALIAS, 200, {})
    for version in ("2", "1"):
        served.say(RELEASE, 200, {"version": version})
    assert move_alias(*clients(served), "1") >= swap.CHECK_SECONDS
    name = served.settings.model_name
    assert ("POST", ALIAS, {"name": name, "alias": "champion", "version": "1"}) in served.asked


def test_serving_that_refuses_is_said(served: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "SWAP_SECONDS", 0.2)
    served.say(RELEASE, 200, {"version": "1"})
    with pytest.raises(ComponentUnavailable, match="did not swap to version 2; GET /v1/release"):
        wait_until_serving(Api(served.settings), "2")
