"""What interactions came to, head by head, over a whole log."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recloop.events import INTERACTIONS, Action
from recloop.labels import CLICK_ACTIONS, HIDE_ACTIONS, LIKE_ACTIONS, LONG_VIEW_MS, Head
from recloop.sequences import ACTION_CODES
from recloop.tables import Column
from training.data.dataset import Ints, TrainingSet

_CODES = range(len(INTERACTIONS) + 1)


def _codes(actions: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.array([code > 0 and INTERACTIONS[code - 1] in actions for code in _CODES])


BY_ACTION = {Head.CLICK: _codes(CLICK_ACTIONS), Head.LIKE: _codes(LIKE_ACTIONS), Head.HIDE: _codes(HIDE_ACTIONS)}


def long_views(training_set: TrainingSet, rows: slice = slice(None)) -> NDArray[np.bool_]:
    """Tell which interactions of the log are long views: `recloop.labels.is_long_view` over arrays."""
    log = training_set.interactions
    actions, dwell = log.actions[rows], log.dwell_ms[rows]
    duration = np.nan_to_num(training_set.items.column(Column.DURATION_MS)[log.items[rows]])
    enough = np.minimum(np.where(duration > 0, duration, LONG_VIEW_MS), LONG_VIEW_MS)
    seen_long = (actions == ACTION_CODES[Action.VIEW]) & (dwell > 0) & (dwell >= enough)
    found: NDArray[np.bool_] = (actions == ACTION_CODES[Action.LONG_VIEW]) | seen_long
    return found


def interaction_outcomes(training_set: TrainingSet) -> tuple[Ints, NDArray[np.bool_]]:
    """Return rows of the log, one per user, item and millisecond, and bool [rows, heads]: what was done then."""
    log = training_set.interactions
    users = np.repeat(np.arange(len(log.user_ids)), np.diff(log.starts))
    order = np.lexsort((log.items, log.times_ms, users))
    same = [values[order][1:] == values[order][:-1] for values in (users, log.times_ms, log.items)]
    starts = np.concatenate([[True], ~np.logical_and.reduce(same)])
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(starts) - 1
    outcomes = np.zeros((int(starts.sum()), len(Head)), dtype=np.bool_)
    found = {head: table[log.actions] for head, table in BY_ACTION.items()} | {Head.LONG_VIEW: long_views(training_set)}
    for place, head in enumerate(Head):
        outcomes[group[found[head]], place] = True
    return order[starts], outcomes
