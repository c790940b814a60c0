"""The release command ends when serving arrived, when it refused, or when it is told that nobody answers."""

from __future__ import annotations

from typing import Any

import pytest

from recloop.errors import BundleIncompatible, ComponentUnavailable
from recloop.settings import Settings
from serving.release_client import _outcome, release


def answer(**changes: Any) -> dict[str, Any]:
    return {"version": "2", "champion": "2", "bundle_id": "b", "refused": [], "polling": "ok"} | changes


def test_version_that_answers_is_the_end() -> None:
    assert _outcome(answer(), "2") == {"version": "2", "bundle_id": "b"}


def test_alias_that_moved_on_is_the_end_when_serving_followed_it() -> None:
    assert _outcome(answer(), "1") == {"version": "2", "bundle_id": "b", "instead_of": "1"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"version": "1"}, id="not_there_yet"),
        pytest.param({"champion": None}, id="no_alias"),
        pytest.param({"polling": "MLflow does not answer"}, id="what_the_alias_names_is_not_known"),
    ],
)
def test_otherwise_it_goes_on_waiting(changes: dict[str, Any]) -> None:
    assert _outcome(answer(**changes), "3") is None


def test_refusal_of_the_champion_is_an_error_with_its_reason() -> None:
    refused = [{"version": "3", "reason": "items.json has other bytes", "at": "…"}]
    with pytest.raises(BundleIncompatible, match=r"version 3: items\.json"):
        _outcome(answer(champion="3", refused=refused), "3")
    assert _outcome(answer(refused=refused), "3") is not None, "refused before, and the alias has moved on"


def test_serving_that_does_not_answer_is_an_error_that_says_where_it_looked(lonely_settings: Settings) -> None:
    with pytest.raises(ComponentUnavailable, match=lonely_settings.serving):
        release(lonely_settings, "1", timeout_seconds=0.6)
