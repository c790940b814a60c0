"""The trigger against the real registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from orchestration.alias_trigger import RegistryAliasTrigger
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
        post(mlflow_stack.mlflow, "model-versions/create", name=MODEL, source="mlflow-artifacts:/nowhere")
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


def test_registry_that_is_down_is_asked_again() -> None:
    trigger = RegistryAliasTrigger(registry="http://127.0.0.1:9", model=MODEL, alias=ALIAS, poll_seconds=0.05)
    assert asyncio.run(fired(trigger, wait=0.3)) == []


def test_trigger_is_built_again_from_what_it_serializes() -> None:
    trigger = RegistryAliasTrigger(registry="http://r", model=MODEL, alias=ALIAS)
    path, arguments = trigger.serialize()
    assert path == "orchestration.alias_trigger.RegistryAliasTrigger"
    assert RegistryAliasTrigger(**json.loads(json.dumps(arguments))).serialize() == trigger.serialize()
