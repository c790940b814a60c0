"""What was shown is logged, place by place, and each impression is counted for what became of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from recloop.errors import ComponentUnavailable
from recloop.events import Action, parse_event
from recloop.settings import Settings
from serving.api import RecommendRequest
from serving.app import Parts
from serving.bundle_store import BundleStore
from serving.event_log import EventLog, Message
from serving.impressions import ImpressionLog, impressions
from serving.registry import ModelVersion
from serving.slate_maker import Slate
from serving.telemetry import Delivery, Telemetry
from tests.serving.bundles import NOW, POPULAR
from tests.serving.servers import wait_until
from tests.serving.topic import read_topic


@pytest.fixture
def loaded_parts(lonely_parts: Parts, bundle: Path) -> Parts:
    """Parts with version 7 in memory and no online store: slates are of popular items."""
    store = BundleStore(lonely_parts.settings.var_dir / "serving")
    version = ModelVersion("7", "runs:/x/bundle")
    store.keep(bundle, version)
    store.remember(version)
    lonely_parts.releases.restore()
    return lonely_parts


def make(parts: Parts, **fields: object) -> Slate:
    return asyncio.run(parts.slates.make(RecommendRequest.model_validate({"user_id": "u", **fields})))


def counted(telemetry: Telemetry, outcome: Delivery) -> float:
    return telemetry.registry.get_sample_value("recloop_impressions_total", {"outcome": outcome}) or 0.0


def fill_queue(log: EventLog) -> None:
    with contextlib.suppress(ComponentUnavailable):
        for _ in range(1_000_000):
            log.write(Message("u", b"x"), lambda _: None)


@contextlib.contextmanager
def running(log: EventLog) -> Iterator[EventLog]:
    log.start()
    try:
        yield log
    finally:
        log.stop()


def test_each_place_is_an_event_that_every_reader_takes(loaded_parts: Parts) -> None:
    slate = make(loaded_parts, k=3, surface="home", device="phone")
    events = [parse_event(each.to_json(), received_at=slate.made_at) for each in impressions(slate)]
    assert [(each.position, each.item_id) for each in events] == [(0, POPULAR[0]), (1, POPULAR[1]), (2, POPULAR[2])]
    assert {(each.action, each.user_id, each.slate_id) for each in events} == {(Action.IMPRESSION, "u", slate.slate_id)}
    assert {(each.model_version, each.surface, each.device) for each in events} == {("7", "home", "phone")}
    assert [each.propensity for each in events] == [place.propensity for place in slate.places]
    assert {each.event_time for each in events} == {slate.made_at}
    assert slate.made_at > NOW


def test_same_request_again_makes_impressions_of_its_own(loaded_parts: Parts) -> None:
    events = [each for _ in range(2) for each in impressions(make(loaded_parts, k=3, seed=1))]
    assert len({each.event_id for each in events}) == len(events) == 6


def test_empty_slate_logs_nothing(loaded_parts: Parts) -> None:
    slate = make(loaded_parts, exclude=POPULAR)
    assert slate.places == []
    assert impressions(slate) == []


def test_impressions_that_find_the_queue_full_are_dropped_and_counted(
    loaded_parts: Parts, lonely_settings: Settings
) -> None:
    slate, telemetry = make(loaded_parts, k=4), Telemetry()
    log = EventLog(lonely_settings.kafka, timeout_seconds=60)
    fill_queue(log)
    ImpressionLog(log, telemetry).write(slate)
    assert {outcome: counted(telemetry, outcome) for outcome in Delivery} == {
        Delivery.DELIVERED: 0,
        Delivery.FAILED: 0,
        Delivery.DROPPED: 4,
    }


@pytest.mark.stack
def test_acknowledged_impressions_are_in_the_topic_keyed_by_user(loaded_parts: Parts, base_stack: Settings) -> None:
    slate, telemetry = make(loaded_parts, k=5), Telemetry()
    with running(EventLog(base_stack.kafka, timeout_seconds=30)) as log:
        ImpressionLog(log, telemetry).write(slate)
        wait_until(lambda: counted(telemetry, Delivery.DELIVERED) == 5)
    found = [record for record in read_topic(base_stack) if slate.slate_id.encode() in record.value]
    assert [record.value for record in found] == [each.to_json() for each in impressions(slate)]
    assert {record.key for record in found} == {b"u"}
