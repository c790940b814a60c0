"""An event trigger that fires when an alias in the MLflow registry points at another version.

It asks every few seconds rather than being told: a move made while the triggerer was down is seen at its start, and
no port and no relaxed protection is needed. Firing twice for one version is harmless: a release is idempotent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

ALIAS_PATH = "/api/2.0/mlflow/registered-models/alias"


class RegistryAliasTrigger(BaseEventTrigger):
    """Fire with `{"version": "7", "alias": …, "model": …}` at the start and whenever the version changes.

    A registry that does not answer is asked again; an alias that does not exist fires nothing.
    """

    def __init__(self, *, registry: str, model: str, alias: str, poll_seconds: float = 2.0) -> None:
        super().__init__()
        self.registry = registry
        self.model = model
        self.alias = alias
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to build this trigger again."""
        names = ("registry", "model", "alias", "poll_seconds")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for ever."""
        known: str | None = None
        async with httpx.AsyncClient(base_url=self.registry, timeout=5) as client:
            while True:
                version = await self._version(client)
                if version is not None and version != known:
                    known = version
                    yield TriggerEvent({"version": version, "alias": self.alias, "model": self.model})
                await asyncio.sleep(self.poll_seconds)

    async def _version(self, client: httpx.AsyncClient) -> str | None:
        try:
            answer = await client.get(ALIAS_PATH, params={"name": self.model, "alias": self.alias})
            if answer.status_code != httpx.codes.OK:
                return None
            return str(answer.json()["model_version"]["version"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self.log.warning("the registry does not answer: %r", error)
            return None
