"""Write a user's online rows through Feast, as the jobs do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from recloop.clock import to_ms
from recloop.feast_env import FEATURE_REPO, feast_environment
from recloop.features import USER_DAILY, USER_PROFILE, USER_RECENT, FeatureView, Kind
from recloop.settings import Settings
from recloop.tables import Column


def open_store(settings: Settings) -> Any:
    from feast import FeatureStore

    os.environ.update(feast_environment(settings))
    return FeatureStore(repo_path=str(FEATURE_REPO))


def write_row(store: Any, view: FeatureView, user_id: str, at: datetime, values: Mapping[str, Any]) -> None:
    row = {"user_id": user_id, Column.FEATURE_TIME: at, Column.CREATED_AT: at, **values}
    store.write_to_online_store(view.name, df=pd.DataFrame([row]))


def write_recent(store: Any, user_id: str, item_ids: Sequence[str], at: datetime, action: str = "save") -> None:
    n = len(item_ids)
    values = {
        "recent_items": list(item_ids),
        "recent_actions": [action] * n,
        "recent_times_ms": [to_ms(at) - n + 1 + place for place in range(n)],
        "recent_dwell_ms": [0] * n,
    }
    write_row(store, USER_RECENT, user_id, at, values)


def write_daily(store: Any, user_id: str, at: datetime, seen: Sequence[str] = ()) -> None:
    numbers: dict[str, Any] = {spec.name: 0.5 for spec in USER_DAILY.features if spec.kind is Kind.FLOAT}
    numbers |= {spec.name: to_ms(at) for spec in USER_DAILY.features if spec.kind is Kind.LONG}
    lists = {"user_categories": ["drama"], "user_category_weights": [1.0], "user_seen_items": list(seen)}
    write_row(store, USER_DAILY, user_id, at, numbers | lists)


def write_profile(store: Any, user_id: str, at: datetime, segment: str) -> None:
    known = {"segment": segment, "age_group": "25", "gender": None, "user_attributes": ["a=1", "süß=ä=b"]}
    write_row(store, USER_PROFILE, user_id, at, known)
