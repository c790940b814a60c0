"""The trigger against the real registry."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest

from orchestration.alias_trigger import RegistryAliasTrigger, champion_asset
from recloop.settings import Settings

MODEL, ALIAS = "trigger-test", "champion"


def post(registry: str, path: str, **body: str) -> dict[str, Any]:
    answer = httpx.post(f"{registry}/api/2.0/mlflow/{path}", json=body)
    answer.raise_for_status()
    return dict(answer.json())


async def fired(trigger: RegistryAliasTrigger, *moves: Callable[[], object], wait: float = 1.0) -> list[str]:
    """Run the trigger, make each move after a wait, and return the versions it fired with."""
    versions: list[str] = []

    async def listen() -> None:
        async for event in trigger.run():
            versions.append(event.payload["version"])

    listener = asyncio.create_task(listen())
    for move in (*moves, lambda: None):
        await asyncio.sleep(wait)
        await asyncio.to_thread(move)
    listener.cancel()
    return versions


@pytest.fixture(scope="module")
def registry(mlflow_stack: Settings) -> str:
    post(mlflow_stack.mlflow, "registered-models/create", name=MODEL)
    for _ in range(2):
        post(mlflow_stack.mlflow, "model-versions/create", name=MODEL, source="s3://bucket/nowhere")
    return mlflow_stack.mlflow


@pytest.mark.stack
def test_fires_at_start_and_at_each_move_but_not_in_between(registry: str) -> None:
    def move(version: str) -> Callable[[], object]:
        return lambda: post(registry, "registered-models/alias", name=MODEL, alias=ALIAS, version=version)

    move("1")()
    trigger = RegistryAliasTrigger(registry=registry, model=MODEL, alias=ALIAS, poll_seconds=0.1)
    assert asyncio.run(fired(trigger, move("2"), move("2"), move("1"))) == ["1", "2", "1"]


@pytest.mark.stack
def test_missing_alias_fires_nothing(registry: str) -> None:
    trigger = RegistryAliasTrigger(registry=registry, model=MODEL, alias="nobody", poll_seconds=0.1)
    assert asyncio.run(fired(trigger, wait=0.5)) == []


@pytest.mark.stack
def test_model_that_does_not_exist_yet_fires_nothing(registry: str) -> None:
    trigger = RegistryAliasTrigger(registry=registry, model="not-yet", alias=ALIAS, poll_seconds=0.1)
    assert asyncio.run(fired(trigger, wait=0.5)) == []


def test_outage_is_outlived_and_logged_once(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    trigger = RegistryAliasTrigger(registry=f"http://127.0.0.1:{port}", model=MODEL, alias=ALIAS, poll_seconds=0.02)
    server: list[ThreadingHTTPServer] = []

    def start() -> None:
        server.append(ThreadingHTTPServer(("127.0.0.1", port), BrokenThenGood))
        Thread(target=server[0].serve_forever, daemon=True).start()

    try:
        assert asyncio.run(fired(trigger, start, wait=0.5)) == ["7"]
    finally:
        server[0].shutdown()
        server[0].server_close()
    logged = capfd.readouterr().out
    assert (logged.count("does not answer"), logged.count("answers again")) == (1, 1)


class BrokenThenGood(BaseHTTPRequestHandler):
    """Answers 500, then text that is no JSON, then JSON of another form, then as the registry does."""

    answers: ClassVar = [(500, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"model_version": null}')]

    def do_GET(self) -> None:
        status, body = self.answers.pop(0) if self.answers else (200, b'{"model_version": {"version": "7"}}')
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_trigger_is_built_again_from_what_it_serializes() -> None:
    trigger = RegistryAliasTrigger(registry="http://r", model=MODEL, alias=ALIAS)
    path, arguments = trigger.serialize()
    assert path == "orchestration.alias_trigger.RegistryAliasTrigger"
    assert RegistryAliasTrigger(**json.loads(json.dumps(arguments))).serialize() == trigger.serialize()


def test_asset_of_the_champion_watches_the_settings_registry() -> None:
    settings = Settings(_env_file=None, mlflow_tracking_uri="http://registry:5000", model_name="films")
    [watcher] = champion_asset(settings).watchers
    assert watcher.trigger.serialize()[1] == {
        "registry": "http://registry:5000",
        "model": "films",
        "alias": "champion",
        "poll_seconds": 2.0,
    }
