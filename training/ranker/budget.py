"""Which of a history's actions to keep when fewer fit: the newest, or by what their kinds were seen to tell.

In: histories, and rows to learn from. Out: narrower histories, newest last as before. Learned are correlations of each
kind of action with an outcome: numbers that a table could hold, and no model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from recloop.histories import Histories
from recloop.labels import Head
from recloop.sequences import ACTION_CODES
from training.ranker.rows import ItemTable, RankerRows

N_CODES = len(ACTION_CODES) + 1
CHUNK_ROWS = 20_000
"""A row has 100 actions in each comparison with its candidate: of so many rows they take some megabytes."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Priorities:
    """What holding an action of a kind tells of an outcome: per action code a correlation, of either sign.

    0 where nothing was seen, as for padding.
    """

    correlations: Numbers

    def __post_init__(self) -> None:
        if self.correlations.shape != (N_CODES,):
            raise TrainingError(
                f"the priorities have the shape {self.correlations.shape}; expected one for padding and each of "
                f"{', '.join(ACTION_CODES)}: {(N_CODES,)}."
            )

    @property
    def ranks(self) -> NDArray[np.int64]:
        """Return the rank of each code, 0 the strongest of either sign; codes of equal strength share one."""
        return np.unique(-np.abs(self.correlations), return_inverse=True)[1].astype(np.int64)

    @property
    def negative(self) -> NDArray[np.bool_]:
        """Tell which codes speak against the outcome."""
        return self.correlations < 0


def learn_priorities(rows: RankerRows, items: ItemTable, head: Head) -> Priorities:
    """Measure how each kind of action goes with an outcome; rows whose label is NaN are left out.

    A row holds a kind in several ways: somewhere in its history, on the candidate itself, or on an item that shares a
    known code (author, category, …) with it. Each way has its correlation over the rows (phi); the strongest is kept.
    """
    labels = rows.labels[:, list(Head).index(head)]
    known = np.flatnonzero(~np.isnan(labels))
    n_ways = 2 + items.codes.shape[1]
    holding, both = np.zeros((n_ways, N_CODES)), np.zeros((n_ways, N_CODES))
    for first in range(0, len(known), CHUNK_ROWS):
        chunk = known[first : first + CHUNK_ROWS]
        held = _held(rows, items, chunk)
        holding += held.sum(axis=1)
        both += held[:, labels[chunk] > 0].sum(axis=1)
    found = _phi(both, holding, float((labels[known] > 0).sum()), len(known))
    return Priorities(np.take_along_axis(found, np.abs(found).argmax(axis=0)[None], axis=0)[0])


def newest(histories: Histories, budget: int) -> Histories:
    """Return the newest `budget` ≥ 1 actions of each history: the plain rule."""
    _check(budget)
    return Histories(*(part[:, -budget:] for part in histories.parts))


def keep(histories: Histories, budget: int, priorities: Priorities) -> Histories:
    """Return the `budget` ≥ 1 actions of each history that come first by their kinds, newest last.

    Kinds that speak for the outcome and kinds that speak against it choose in turn, the former first; each gives its
    strongest kind, of equally strong ones the newest action. A side that has no more leaves its turns to the other. A
    history with no more actions than the budget keeps them all.
    """
    _check(budget)
    width = histories.items.shape[1]
    known, negative = histories.items > 0, priorities.negative[histories.actions]
    # Newest first within a rank: no two actions of a history are equal.
    wanted = priorities.ranks[histories.actions] * width + np.arange(width)[::-1]
    turns = np.where(negative, 2 * _places(wanted, known & negative) + 1, 2 * _places(wanted, known & ~negative))
    kept = np.sort(np.argsort(np.where(known, turns, 2 * width), axis=1)[:, :budget], axis=1)
    return Histories(*(np.take_along_axis(part, kept, axis=1) for part in histories.parts))


def _held(rows: RankerRows, items: ItemTable, chunk: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which rows hold which code in which way, [ways, rows, codes]."""
    histories, candidate = rows.histories, rows.candidate[chunk][:, None]
    past, actions = histories.items[rows.request[chunk]], histories.actions[rows.request[chunk]]
    there = past > 0
    ways = [there, there & (past == candidate)]
    ways += [there & (codes[past] == codes[candidate]) & (codes[candidate] > 0) for codes in items.codes.T]
    held = np.zeros((len(ways), len(chunk), N_CODES), dtype=np.bool_)
    for own, matched in zip(held, ways, strict=True):
        row, place = np.nonzero(matched)
        own[row, actions[row, place]] = True
    return held


def _phi(both: Numbers, holding: Numbers, n_positive: float, n: int) -> Numbers:
    """Return the correlation of two yes-or-no variables from their counts; 0 where one of them does not vary."""
    spread = np.sqrt(holding * (n - holding) * n_positive * (n - n_positive))
    return np.divide(n * both - holding * n_positive, spread, out=np.zeros_like(both), where=spread > 0)


def _places(wanted: NDArray[np.int64], own: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the place of each of a side's own actions among them, 0 = the first; of others, some number."""
    order = np.argsort(np.where(own, wanted, np.iinfo(np.int64).max), axis=1)
    return np.argsort(order, axis=1)


def _check(budget: int) -> None:
    if budget < 1:
        raise TrainingError(f"a budget of {budget} actions leaves no history; expected 1 or more.")
