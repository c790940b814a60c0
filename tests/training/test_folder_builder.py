"""The test-side builder gives the kernel's reference numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recloop.aggregates import item_daily, user_daily
from recloop.clock import to_ms
from recloop.training_set import TrainingFile
from tests.training.synthetic import SyntheticSource


def test_features_are_those_of_the_reference(folder: Path) -> None:
    events = list(SyntheticSource().events())
    categories = {item.item_id: item.categories for item in SyntheticSource().items()}
    rows = pq.read_table(folder / TrainingFile.EXAMPLES).to_pylist()[::400]
    assert len(rows) >= 4
    for row in rows:
        for prefix in ("user", "item"):
            end = datetime.fromtimestamp(row[f"{prefix}_feature_ms"] / 1_000, UTC)
            assert to_ms(end) <= row["event_time_ms"]
            day = (end - timedelta(days=1)).date()
            if prefix == "user":
                expected = user_daily(events, day=day, categories=categories)[row["user_id"]]
                expected.pop("user_seen_items")
            else:
                expected = item_daily(events, day=day)[row["item_id"]]
            for name, value in expected.items():
                exact = name == "user_categories"
                assert row[name] == (value if exact else pytest.approx(value, rel=1e-5)), name
