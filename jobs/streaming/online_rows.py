"""Read and write `user_recent` rows in the online store, through Feast's provider.

In: user ids and sequences. Out: rows in Feast's own layout, which `get_online_features` reads. The values are built as
Feast's protobufs: going through a DataFrame, as `write_to_online_store` does, costs several times as much per row.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from recloop.clock import from_ms
from recloop.feast_env import FEATURE_REPO, feast_environment
from recloop.features import USER_RECENT, Entity
from recloop.sequences import Entry, RecentActions, recent_actions
from recloop.settings import Settings

TIMEOUT_SECONDS = 2
"""After it a read or write counts as failed; Redis answers in about a millisecond, or is in trouble."""

ITEMS, ACTIONS, TIMES, DWELLS = USER_RECENT.names


class OnlineRows(Protocol):
    """What the stream job needs of the online store."""

    def read(self, user_id: str) -> RecentActions:
        """Return a user's row, empty where there is none."""
        ...

    def write(self, rows: Mapping[str, Sequence[Entry]]) -> None:
        """Write a row per user."""
        ...


class FeastRows:
    """`user_recent` in the online store that feature_repo/ names."""

    def __init__(self, settings: Settings) -> None:
        from feast import FeatureStore
        from feast.infra.provider import get_provider

        # Feast sets no timeout, so a server that hangs would hang this job.
        limits = {"socket_timeout": str(TIMEOUT_SECONDS), "socket_connect_timeout": str(TIMEOUT_SECONDS)}
        os.environ.update(feast_environment(settings, redis=limits))
        store = FeatureStore(repo_path=str(FEATURE_REPO))
        self._config = store.config
        self._view = store.get_feature_view(USER_RECENT.name)
        self._provider = get_provider(store.config)

    def read(self, user_id: str) -> RecentActions:
        """Return a user's row, empty where there is none."""
        found = self._provider.online_read(self._config, self._view, [_key(user_id)], list(USER_RECENT.names))
        values = found[0][1] if found else None
        if not values:
            return RecentActions()
        return RecentActions(
            tuple(values[ITEMS].string_list_val.val),
            tuple(values[ACTIONS].string_list_val.val),
            tuple(values[TIMES].int64_list_val.val),
            tuple(values[DWELLS].int64_list_val.val),
        )

    def write(self, rows: Mapping[str, Sequence[Entry]]) -> None:
        """Write a row per user; its event timestamp is the newest interaction's time."""
        data = [feast_row(user_id, entries) for user_id, entries in rows.items()]
        self._provider.online_write_batch(self._config, self._view, data, None)


def feast_row(user_id: str, entries: Sequence[Entry]) -> tuple[Any, dict[str, Any], datetime, datetime | None]:
    """Return one row as Feast's provider takes it: key, values, event timestamp, created timestamp."""
    from feast.protos.feast.types.Value_pb2 import Int64List, StringList, Value

    recent = recent_actions(entries)
    values = {
        ITEMS: Value(string_list_val=StringList(val=recent.item_ids)),
        ACTIONS: Value(string_list_val=StringList(val=map(str, recent.actions))),
        TIMES: Value(int64_list_val=Int64List(val=recent.times_ms)),
        DWELLS: Value(int64_list_val=Int64List(val=recent.dwell_ms)),
    }
    return _key(user_id), values, from_ms(recent.times_ms[-1]), None


def _key(user_id: str) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=[Entity.USER], entity_values=[Value(string_val=user_id)])
