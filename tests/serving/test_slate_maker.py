"""A slate is made in time, from the best that is there, and says from what."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from recloop.bundles import trees_file
from recloop.clock import ManualClock
from recloop.labels import Head
from recloop.ranking import Context
from recloop.settings import Settings
from serving.api import Reason, RecommendRequest, ServedBy
from serving.app import Parts, build_parts
from serving.bundle_store import BundleStore
from serving.registry import ModelVersion
from serving.scoring import load_bundle
from serving.slate_maker import NoModel, Slate, popular_places, scored_places
from serving.user_state import OnlineRow
from tests.serving.bundles import NOW_MS, POPULAR, POPULAR_WITH_THE_YOUNG, user_with

RECENT_ROW = OnlineRow(
    {
        "user_recent": {
            "recent_items": ["i1"], "recent_actions": ["save"], "recent_times_ms": [NOW_MS], "recent_dwell_ms": [0],
        },
        "user_profile": {"segment": "young"},
    },
    {"user_recent": NOW_MS, "user_profile": NOW_MS},
)  # fmt: skip


def parts_with(bundle: Path, settings: Settings, clock: ManualClock) -> Parts:
    store = BundleStore(settings.var_dir / "serving")
    version = ModelVersion("1", "runs:/x/bundle")
    store.keep(bundle, version)
    store.remember(version)
    parts = build_parts(settings, clock)
    parts.releases.restore()
    return parts


def give_row(parts: Parts, row: OnlineRow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer every read with a row; the reader over a real Redis has its own tests."""

    async def read(user_id: str, *, timeout_seconds: float) -> OnlineRow:
        return row

    monkeypatch.setattr(parts.features, "read", read)


def make(parts: Parts, **fields: object) -> Slate:
    return asyncio.run(parts.slates.make(RecommendRequest.model_validate({"user_id": "u", **fields})))


@pytest.fixture
def parts(bundle: Path, lonely_settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Parts:
    parts = parts_with(bundle, lonely_settings, clock)
    give_row(parts, RECENT_ROW, monkeypatch)
    return parts


def shown(slate: Slate) -> list[str]:
    return [slate.release.recommender.items.ids[place.row] for place in slate.places]


def test_fresh_row_is_served_by_the_model(parts: Parts) -> None:
    slate = make(parts)
    assert slate.served_by == ServedBy.MODEL
    assert slate.degraded == (Reason.USER_DAILY_MISSING,)
    assert "i1" not in shown(slate)
    assert {place.source for place in slate.places} <= {"sequence", "cf", "popular", "fresh"}


def test_late_model_is_replaced_by_popular_items_within_the_deadline(
    bundle: Path, lonely_settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = parts_with(bundle, lonely_settings.model_copy(update={"request_deadline_ms": 100}), clock)
    give_row(parts, RECENT_ROW, monkeypatch)
    release = parts.releases.current
    assert release is not None
    monkeypatch.setattr(release.recommender, "score", lambda *_, **__: time.sleep(1))
    began = time.perf_counter()
    # Not asyncio.run, which waits for the thread that is late.
    loop = asyncio.new_event_loop()
    slate = loop.run_until_complete(parts.slates.make(RecommendRequest(user_id="u", k=4)))
    assert time.perf_counter() - began < 0.5
    assert (slate.served_by, slate.degraded[-1]) == (ServedBy.POPULARITY, Reason.DEADLINE)
    assert shown(slate) == [*POPULAR_WITH_THE_YOUNG, POPULAR[0]], "those of the user's segment come first"
    loop.close()


def test_model_that_fails_on_a_user_is_replaced_by_popular_items(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = parts.releases.current
    assert release is not None

    def fail(*_: object, **__: object) -> None:
        raise FloatingPointError("overflow")

    monkeypatch.setattr(release.recommender, "score", fail)
    slate = make(parts)
    assert (slate.served_by, slate.degraded[-1]) == (ServedBy.POPULARITY, Reason.MODEL_ERROR)
    assert "overflow" in caplog.text


def test_without_a_bundle_there_is_no_slate(lonely_settings: Settings, clock: ManualClock) -> None:
    with pytest.raises(NoModel):
        make(build_parts(lonely_settings, clock))


def test_bundle_that_was_refused_is_named_when_there_is_no_other(
    bundle: Path, lonely_settings: Settings, clock: ManualClock
) -> None:
    (bundle / trees_file(Head.CLICK)).write_text("other")
    with pytest.raises(NoModel, match=trees_file(Head.CLICK).replace(".", r"\.")):
        make(parts_with(bundle, lonely_settings, clock))


def test_seed_fixes_what_is_explored(bundle: Path, lonely_settings: Settings) -> None:
    recommender = load_bundle(bundle)
    settings = lonely_settings.model_copy(update={"exploration_rate": 0.5})
    context, user = Context(NOW_MS), user_with("i1")
    request = RecommendRequest(user_id="u", k=20)
    one, same, other = (scored_places(recommender, user, context, request, settings, seed) for seed in (1, 1, 2))
    assert one == same != other
    assert any(place.explored for place in one)
    # half the time the best is shown; all of the pool of 50 share the other half
    assert {round(place.propensity, 3) for place in one} >= {0.51, 0.01}


def test_popular_items_leave_out_what_is_seen_or_excluded(bundle: Path) -> None:
    recommender = load_bundle(bundle)
    request = RecommendRequest(user_id="u", k=2, exclude=[POPULAR[1]])
    places = popular_places(recommender, user_with(POPULAR[0]), request)
    assert [recommender.items.ids[place.row] for place in places] == POPULAR[2:4]
    assert {(place.score, place.propensity) for place in places} == {(None, 1.0)}


def test_everything_excluded_gives_an_empty_slate(parts: Parts) -> None:
    release = parts.releases.current
    assert release is not None
    slate = make(parts, exclude=list(release.recommender.items.ids))
    assert (slate.served_by, slate.places) == (ServedBy.MODEL, [])
