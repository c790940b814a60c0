"""What was known of any item at any moment of a training set, out of the point-in-time rows of its examples.

An example's item features were known at the example's moment, so they are known later too. The newest such row may be
older than what the feature store held; it is never newer. An item that no example has named yet is unknown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Ints, TrainingSet


class ItemHistory:
    """Rows of item numbers by item and the moment since which they were known."""

    def __init__(self, training_set: TrainingSet) -> None:
        examples = training_set.examples
        kept = np.flatnonzero(~np.isnan(examples.item_as_of_ms))
        # Time first: for equal (item, moment) the newest feature row comes last and is found.
        order = kept[np.lexsort((examples.item_as_of_ms[kept], examples.times_ms[kept], examples.items[kept]))]
        self._items, self._times = examples.items[order], examples.times_ms[order]
        self._numbers, self._as_of = examples.item_numbers[order], examples.item_as_of_ms[order]
        self._fixed = training_set.items.fixed_columns

    def known(self, items: Ints, time_ms: int) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        """Return, per item: whether anything was known, ITEM_NUMBER_COLUMNS, and the feature_time."""
        first = np.searchsorted(self._items, items, side="left")
        last = np.searchsorted(self._items, items, side="right")
        places = np.array(
            [
                low + np.searchsorted(self._times[low:high], time_ms, side="right") - 1
                for low, high in zip(first, last, strict=True)
            ],
            dtype=np.int64,
        )
        found = places >= first
        places = np.where(found, places, 0)
        return found, np.hstack([self._numbers[places], self._fixed[items]]), self._as_of[places]
