"""The API while nothing around it runs: what it refuses, what it answers all the same."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.app import Parts
from tests.serving.bundles import POPULAR
from tests.serving.conftest import TOKEN


def metric(client: TestClient, name: str) -> float:
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event_id": None}, "event_id"),
        ({"action": "stare"}, "action"),
        ({"event_time": "2030-01-01T00:00:00Z"}, "event_time"),
    ],
)
def test_malformed_event_is_answered_with_field_and_reason(
    lonely_client: TestClient, make_event: Callable[..., Any], changes: dict[str, Any], field: str
) -> None:
    answer = lonely_client.post("/v1/events", json=[make_event(), make_event(**changes)])
    assert answer.status_code == 422
    assert [(one["index"], one["field"]) for one in answer.json()["detail"]] == [(1, field)]
    assert answer.json()["detail"][0]["reason"]
    assert metric(lonely_client, f'recloop_events_rejected_total{{field="{field}"}}') == 1


def test_wrong_json_is_answered_422(lonely_client: TestClient) -> None:
    answer = lonely_client.post("/v1/events", content=b"{nope")
    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, "body")


@pytest.mark.parametrize("size", [1_000_000, 3_000_000])
def test_megabytes_of_text_are_answered_422(lonely_client: TestClient, size: int) -> None:
    answer = lonely_client.post("/v1/events", content=b"a" * size)
    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, "body")


def test_only_the_first_hundred_problems_are_named(lonely_client: TestClient) -> None:
    answer = lonely_client.post("/v1/events", json=[1] * 150)
    assert len(answer.json()["detail"]) == 100


def test_events_are_answered_503_while_kafka_is_down(lonely_client: TestClient, make_event: Callable[..., Any]) -> None:
    answer = lonely_client.post("/v1/events", json=make_event())
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "Kafka" in answer.json()["detail"]
    assert metric(lonely_client, "recloop_events_accepted_total") == 0


def test_without_any_bundle_there_is_a_reason_and_no_slate(lonely_client: TestClient) -> None:
    for answer in (
        lonely_client.post("/v1/recommendations", json={"user_id": "u"}),
        lonely_client.get("/health/ready"),
    ):
        assert answer.status_code == 503
        assert "no bundle is served" in answer.json()["detail"]
    assert lonely_client.get("/health/live").status_code == 200
    assert lonely_client.get("/v1/release").json()["version"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "u", "k": 0}, "k"),
        ({"user_id": "u", "k": 101}, "k"),
        ({"user_id": "u", "k": "5"}, "k"),
        ({"user_id": "u", "exclude": ["", "x"]}, "exclude.0"),
        ({"user_id": "u", "seed": -1}, "seed"),
        ({"user_id": "u", "colour": "red"}, "colour"),
    ],
)
def test_malformed_request_names_the_field(restarted_client: TestClient, body: dict[str, Any], field: str) -> None:
    answer = restarted_client.post("/v1/recommendations", json=body)
    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, field)


def test_without_redis_and_mlflow_the_last_bundle_answers_with_popular_items(restarted_client: TestClient) -> None:
    answer = restarted_client.post("/v1/recommendations", json={"user_id": "u", "k": 3, "exclude": [POPULAR[1]]})
    assert answer.status_code == 200
    slate = answer.json()
    assert (slate["served_by"], slate["degraded"], slate["model_version"]) == ("popularity", ["redis"], "7")
    assert [item["item_id"] for item in slate["items"]] == [POPULAR[0], *POPULAR[2:4]]
    assert [item["position"] for item in slate["items"]] == [0, 1, 2]
    assert {item["propensity"] for item in slate["items"]} == {1.0}
    assert restarted_client.get("/health/ready").json() == {"status": "ready", "version": "7"}
    assert metric(restarted_client, 'recloop_degraded_total{reason="redis"}') == 1


def test_lost_impressions_are_counted(restarted_client: TestClient) -> None:
    restarted_client.post("/v1/recommendations", json={"user_id": "u", "k": 4})
    failed = 'recloop_impressions_total{outcome="failed"}'
    end = time.monotonic() + 10
    while metric(restarted_client, failed) < 4 and time.monotonic() < end:
        time.sleep(0.05)
    assert metric(restarted_client, failed) == 4


def test_latency_is_measured_by_route_and_by_what_served(restarted_client: TestClient) -> None:
    restarted_client.post("/v1/recommendations", json={"user_id": "u"})
    restarted_client.get("/v1/there-is-no-such-route")
    text = restarted_client.get("/metrics").text
    assert 'recloop_request_seconds_count{path="/v1/recommendations",served_by="popularity",status="200"} 1.0' in text
    assert 'path="other"' in text


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", f"Basic {TOKEN}"])
def test_internal_page_wants_the_token(lonely_client: TestClient, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    assert lonely_client.post("/internal/release", headers=headers).status_code == 403


def test_internal_page_says_that_mlflow_is_down(lonely_client: TestClient) -> None:
    answer = lonely_client.post("/internal/release", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert "MLflow" in answer.json()["polling"]


def test_documentation_page_needs_nothing_from_outside(lonely_client: TestClient) -> None:
    page = lonely_client.get("/docs")
    scripts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert scripts
    assert [script for script in scripts if lonely_client.get(script).status_code != 200 or "//" in script] == []


def test_openapi_document_describes_the_bodies(lonely_client: TestClient) -> None:
    document = lonely_client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert set(schemas["Event"]["required"]) == {"event_id", "event_time", "action", "user_id", "item_id"}
    assert "RecommendRequest" in schemas
    assert lonely_client.get("/docs").status_code == 200


def test_parts_have_no_shared_counters(lonely_parts: Parts, lonely_client: TestClient) -> None:
    assert metric(lonely_client, "recloop_release_swaps_total") == 0
    lonely_parts.telemetry.swaps.inc()
    assert metric(lonely_client, "recloop_release_swaps_total") == 1
