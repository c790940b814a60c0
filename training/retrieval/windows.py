"""Training windows of the transformer: stretches of a user's log, padded on the left.

In: a training set and a span of time. Out: int64 arrays [windows, MAX_ACTIONS], as the encoder reads them, with a
target per position: the item that came next, where that was new to the window and the user liked it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloop.events import INTERACTIONS, Action
from recloop.histories import gap_buckets
from recloop.labels import CLICK_ACTIONS
from recloop.sequences import MAX_ACTIONS
from training.data.dataset import Ints, TrainingSet

STRIDE = MAX_ACTIONS
_GOOD_ACTIONS = (*CLICK_ACTIONS, Action.LONG_VIEW)
GOOD: NDArray[np.bool_] = np.asarray([False, *(action in _GOOD_ACTIONS for action in INTERACTIONS)], dtype=bool)
"""Per action code, whether it says that the user liked the item."""


@dataclass(frozen=True)
class Windows:
    """Rows of inputs and targets; 0 is padding in inputs, and "nothing to predict" in targets (item + 1 otherwise)."""

    items: Ints
    actions: Ints
    gaps: Ints
    targets: Ints

    def __len__(self) -> int:
        return len(self.items)

    @property
    def parts(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Return the four arrays in the order in which the trainer takes them."""
        return self.items, self.actions, self.gaps, self.targets

    @property
    def lengths(self) -> Ints:
        """Return the number of actions in each window."""
        lengths: Ints = (self.items > 0).sum(axis=1)
        return lengths

    def take(self, rows: Ints) -> Windows:
        """Return some rows."""
        return Windows(*(part[rows] for part in self.parts))


def make_windows(training_set: TrainingSet, *, start_ms: int, end_ms: int) -> Windows:
    """Cut the log of each user up to `end_ms`; targets lie in `[start_ms, end_ms)`.

    A long log gives several windows, counted from its end; each action is a target once.
    """
    log = training_set.interactions
    parts = []
    for user in range(len(log.user_ids)):
        first = int(log.starts[user])
        last = first + int(np.searchsorted(log.times_ms[first : log.starts[user + 1]], end_ms, side="left"))
        if last - first < 2 or log.times_ms[last - 1] < start_ms:
            continue
        for stop in range(last, first + 1, -STRIDE):
            window = _window(training_set, max(first, stop - MAX_ACTIONS - 1), stop, start_ms)
            if window[3].any():
                parts.append(window)
            if stop - MAX_ACTIONS - 1 <= first:
                break
    stacked = np.stack(parts) if parts else np.zeros((0, 4, MAX_ACTIONS), dtype=np.int64)
    return Windows(*(np.ascontiguousarray(stacked[:, place]) for place in range(4)))


def _window(training_set: TrainingSet, first: int, stop: int, start_ms: int) -> Ints:
    """Return [4, MAX_ACTIONS]: all but the last action are inputs, all but the first may be targets."""
    log = training_set.interactions
    items, times = log.items[first:stop], log.times_ms[first:stop]
    new = np.zeros(len(items), dtype=bool)
    new[np.unique(items, return_index=True)[1]] = True
    good = GOOD.take(log.actions[first:stop])
    # One view of an item can be several events of one moment (click, long view, like): any of them makes it good.
    good_pairs = {(item, time) for item, time in zip(items[good].tolist(), times[good].tolist(), strict=True)}
    liked = np.array([pair in good_pairs for pair in zip(items.tolist(), times.tolist(), strict=True)])
    targets = np.where(new & liked & (times >= start_ms), items + 1, 0)
    window = np.zeros((4, MAX_ACTIONS), dtype=np.int64)
    n = len(items) - 1
    # Ages are counted from the last target, as serving counts them from the request.
    window[:, -n:] = items[:-1] + 1, log.actions[first : stop - 1], gap_buckets(times[-1] - times[:-1]), targets[1:]
    return window
