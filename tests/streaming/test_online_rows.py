"""A sequence becomes one Feast row, as of its newest interaction."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.streaming.online_rows import feast_row
from recloop.events import Action
from recloop.features import USER_RECENT
from recloop.sequences import Entry


@pytest.mark.slow  # importing Feast takes seconds
def test_row_has_every_feature_of_the_view_oldest_first() -> None:
    # 2022-05-01T00:00:00Z is 1,651,363,200 s after 1970
    entries = [Entry(5, 1, "a", Action.CLICK, 0), Entry(1_651_363_200_000, 2, "b", "view", 30)]
    key, values, event_time, created = feast_row("u", entries)
    assert key.join_keys == ["user_id"]
    assert key.entity_values[0].string_val == "u"
    assert tuple(values) == USER_RECENT.names
    items, actions, times, dwells = values.values()
    assert list(items.string_list_val.val) == ["a", "b"]
    assert list(actions.string_list_val.val) == ["click", "view"]
    assert list(times.int64_list_val.val) == [5, 1_651_363_200_000]
    assert list(dwells.int64_list_val.val) == [0, 30]
    assert (event_time, created) == (datetime(2022, 5, 1, tzinfo=UTC), None)
