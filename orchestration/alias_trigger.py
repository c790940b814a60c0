"""An event trigger that fires when an alias in the MLflow registry points at another version, and the asset it moves.

It asks every few seconds rather than being told: a move made while the triggerer was down is seen at its start, and
no port and no relaxed protection is needed. Firing twice for one version is harmless: a release is idempotent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from recloop.bundles import Alias
from recloop.settings import Settings

ALIAS_PATH = "/api/2.0/mlflow/registered-models/alias"
ANSWER_SECONDS = 5.0

# It tells of every request: one line every two seconds would bury the triggerer's own.
logging.getLogger("httpx").setLevel(logging.WARNING)


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
        """Poll for ever; an outage is logged when it begins and when it ends, not every two seconds."""
        known, answering = None, True
        async with httpx.AsyncClient(base_url=self.registry, timeout=ANSWER_SECONDS) as client:
            while True:
                try:
                    version = await self._version(client)
                except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                    if answering:
                        self.log.warning("the registry at %s does not answer: %r; asking on", self.registry, error)
                    answering = False
                else:
                    if not answering:
                        self.log.info("the registry at %s answers again", self.registry)
                    answering = True
                    if version is not None and version != known:
                        known = version
                        yield TriggerEvent({"version": version, "alias": self.alias, "model": self.model})
                await asyncio.sleep(self.poll_seconds)

    async def _version(self, client: httpx.AsyncClient) -> str | None:
        """Return where the alias points, None where it does not exist."""
        answer = await client.get(ALIAS_PATH, params={"name": self.model, "alias": self.alias})
        # MLflow answers 404 for a model without a version yet, 400 for an alias that is not set.
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST}:
            return None
        answer.raise_for_status()
        return str(answer.json()["model_version"]["version"])


def champion_asset(settings: Settings) -> Asset:
    """Return the asset that is updated whenever the alias that serving follows moves."""
    alias = str(Alias.CHAMPION)
    trigger = RegistryAliasTrigger(registry=settings.mlflow, model=settings.model_name, alias=alias)
    return Asset(alias, watchers=[AssetWatcher(name=f"{alias}_moved", trigger=trigger)])
