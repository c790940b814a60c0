from __future__ import annotations

from pathlib import Path

import pytest

from recloop.bundled_recommender import load_recommender
from recloop.errors import BundleIncompatible
from recloop.golden import GoldenRequest, check_golden, write_golden
from recloop.labels import Head
from recloop.ranking import Context, UserState
from recloop.recommender import Recommender
from recloop.sequences import RecentActions
from tests.recloop.conftest import AS_OF_MS, click_head, mean_encoder

REQUESTS = [
    GoldenRequest(UserState("new"), Context(AS_OF_MS)),
    GoldenRequest(
        UserState(
            "u",
            seen_items=frozenset({"i9"}),
            recent=RecentActions(("i0",), ("save",), (AS_OF_MS,), (0,)),
            attributes={"größe": "süß", "a": "1=2"},
        ),
        Context(AS_OF_MS + 1, "home"),
    ),
]


def test_same_recommender_passes(bundle: Path, recommender: Recommender) -> None:
    write_golden(bundle, recommender, REQUESTS)
    assert check_golden(bundle, recommender) == len(REQUESTS)


def test_requests_are_read_as_they_were_written(
    bundle: Path, recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[GoldenRequest] = []
    monkeypatch.setattr("recloop.golden._answer", lambda _, request: asked.append(request) or {})
    write_golden(bundle, recommender, REQUESTS)
    assert check_golden(bundle, recommender) == len(REQUESTS)
    assert asked == [*REQUESTS, *REQUESTS]


def test_another_models_answers_are_refused(bundle: Path, recommender: Recommender) -> None:
    write_golden(bundle, recommender, REQUESTS)
    other = load_recommender(
        bundle, recommender.manifest, encode=mean_encoder, heads={Head.CLICK: lambda matrix: click_head(matrix) * 0.9}
    )
    with pytest.raises(BundleIncompatible, match="head click"):
        check_golden(bundle, other)


def test_empty_batch_is_refused(bundle: Path, recommender: Recommender) -> None:
    write_golden(bundle, recommender, [])
    with pytest.raises(BundleIncompatible, match="empty"):
        check_golden(bundle, recommender)
