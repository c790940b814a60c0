"""Requests are measured under their route's pattern, whatever ends them; what nobody asks about is left out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from serving.request_timer import RequestTimer
from serving.telemetry import Telemetry

PAUSE_SECONDS = 0.05


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def client(telemetry: Telemetry) -> Iterator[TestClient]:
    app = FastAPI()
    app.add_middleware(RequestTimer, telemetry=telemetry)

    @app.get("/items/{item_id}")
    async def item(item_id: str, request: Request) -> Response:
        request.state.served_by = "model"
        return Response(item_id, 203)

    @app.get("/slow")
    async def slow() -> StreamingResponse:
        def body() -> Iterator[bytes]:
            yield b"first"
            time.sleep(PAUSE_SECONDS)
            yield b"last"

        return StreamingResponse(body())

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    @app.get("/metrics")
    @app.get("/health/live")
    async def unmeasured() -> str:
        return "fine"

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def observed(telemetry: Telemetry) -> dict[tuple[str, str, str], float]:
    """Return the number of measured requests by route, status and what served them."""
    return {
        (sample.labels["path"], sample.labels["status"], sample.labels["served_by"]): sample.value
        for metric in telemetry.registry.collect()
        for sample in metric.samples
        if sample.name == "recloop_request_seconds_count"
    }


def test_requests_of_one_route_share_its_pattern_as_label(client: TestClient, telemetry: Telemetry) -> None:
    assert [client.get(f"/items/{name}").text for name in "abc"] == ["a", "b", "c"]
    assert observed(telemetry) == {("/items/{item_id}", "203", "model"): 3}


def test_paths_without_a_route_share_one_label(client: TestClient, telemetry: Telemetry) -> None:
    for path in ("/wp-login.php", "/items", "/%00"):
        assert client.get(path).status_code == 404
    assert observed(telemetry) == {("other", "404", ""): 3}


def test_wrong_method_is_measured_under_its_route(client: TestClient, telemetry: Telemetry) -> None:
    client.post("/items/a")
    assert observed(telemetry) == {("/items/{item_id}", "405", ""): 1}


def test_request_that_raises_counts_as_a_server_error(client: TestClient, telemetry: Telemetry) -> None:
    assert client.get("/broken").status_code == 500
    assert observed(telemetry) == {("/broken", "500", ""): 1}


def test_time_runs_until_the_last_byte(client: TestClient, telemetry: Telemetry) -> None:
    assert client.get("/slow").content == b"firstlast"
    labels = {"path": "/slow", "status": "200", "served_by": ""}
    seconds = telemetry.registry.get_sample_value("recloop_request_seconds_sum", labels)
    assert seconds is not None
    assert seconds >= PAUSE_SECONDS


def test_probes_and_the_metrics_page_are_not_measured(client: TestClient, telemetry: Telemetry) -> None:
    assert [client.get(path).status_code for path in ("/metrics", "/health/live", "/health/ready")] == [200, 200, 404]
    assert observed(telemetry) == {}


def test_what_is_no_http_request_passes_unmeasured(client: TestClient, telemetry: Telemetry) -> None:
    with client.websocket_connect("/socket") as websocket:
        assert websocket.receive_text() == "hello"
    assert observed(telemetry) == {}
