"""The sequences that Spark writes are those the stream keeps: the kernel's rule, ties included."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from recloop.events import Action
from recloop.sequences import MAX_ACTIONS, Entry, RecentActions, entry, merge, recent_actions
from tests.lake import DAY_0, clean_frame, random_log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]


@pytest.mark.parametrize("n_events", [60, 1_500])
def test_newest_interactions_of_a_random_log(spark: SparkSession, n_events: int) -> None:
    from jobs.etl.user_sequences import user_recent

    # 1,500 events of 5 users in 432 slots: some 250 interactions each, many at the same moment, also at the cut.
    log = random_log(7, n_events=n_events, days=3)
    state: dict[str, list[Entry]] = defaultdict(list)
    for each in log:
        if each.action != Action.IMPRESSION:
            state[each.user_id] = merge(state[each.user_id], [new] if (new := entry(each)) else [])
    expected = {user: recent_actions(entries) for user, entries in state.items()}
    assert max(map(len, expected.values())) == MAX_ACTIONS or n_events == 60

    rows = user_recent(clean_frame(spark, log), now=DAY_0).collect()
    found = {
        row["user_id"]: RecentActions(
            *(tuple(row[name]) for name in ("recent_items", "recent_actions", "recent_times_ms", "recent_dwell_ms"))
        )
        for row in rows
    }
    assert found == expected
