from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from recloop.events import INTERACTIONS
from recloop.labels import Head, is_long_view
from recloop.ranking import ITEM_NUMBER_COLUMNS, Items
from recloop.sequences import ACTION_CODES
from recloop.tables import Column
from training.data.outcomes import interaction_outcomes, long_views


def log_of(rows: list[tuple[int, str, int, int]], durations: list[float]) -> Any:
    """Return a training set of one user's rows (item, action, time, dwell), as far as outcomes read one."""
    touched, actions, times, dwell = (np.array(column) for column in zip(*rows, strict=True))
    codes = np.array([ACTION_CODES[action] for action in actions])
    numbers = np.full((len(durations), len(ITEM_NUMBER_COLUMNS)), np.nan)
    numbers[:, ITEM_NUMBER_COLUMNS.index(Column.DURATION_MS)] = durations
    log = SimpleNamespace(
        user_ids=("u",), starts=np.array([0, len(rows)]), items=touched, actions=codes, times_ms=times, dwell_ms=dwell
    )
    n = len(durations)
    items = Items(tuple(map(str, range(n))), ("",) * n, ((),) * n, (None,) * n, numbers, as_of_ms=0)
    return SimpleNamespace(interactions=log, items=items)


def test_long_views_are_those_of_the_kernel() -> None:
    durations = [np.nan, 0.0, 9_000.0, 60_000.0]
    dwells = [0, 1, 8_999, 9_000, 17_999, 18_000, 90_000]
    rows = [(item, action, 0, dwell) for item in range(4) for action in INTERACTIONS for dwell in dwells]
    expected = [
        is_long_view(action, dwell or None, int(durations[item]) if durations[item] > 0 else None)
        for item, action, _, dwell in rows
    ]
    assert long_views(log_of(rows, durations)).tolist() == expected


def test_what_is_done_with_an_item_in_one_millisecond_is_one_row() -> None:
    rows = [(0, "click", 5, 0), (1, "hide", 5, 0), (0, "like", 5, 0), (0, "view", 6, 20_000), (0, "view", 7, 10)]
    done, outcomes = interaction_outcomes(log_of(rows, [np.nan, np.nan]))
    found = {(rows[row][0], rows[row][2]): values for row, values in zip(done, outcomes.tolist(), strict=True)}
    heads = list(Head)
    assert {key: [head for head, hit in zip(heads, values, strict=True) if hit] for key, values in found.items()} == {
        (0, 5): [Head.CLICK, Head.LIKE], (1, 5): [Head.HIDE], (0, 6): [Head.LONG_VIEW], (0, 7): [],
    }  # fmt: skip
