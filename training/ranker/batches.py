"""Mini-batches of the ranker's rows, and the pieces that are gone through at once: whole users in both.

Rows of a user are compared with each other (`training.ranker.joint_loss`), so they stay together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recloop.ranker import cut_between
from training.ranker.rows import RankerRows

MOST_ROWS = 500
"""A user with more rows comes in parts: pairs grow with the square."""


def user_batches(
    users: NDArray[np.integer], n_rows: int, generator: np.random.Generator | None = None
) -> list[NDArray[np.intp]]:
    """Return mini-batches of about n_rows that hold all rows of their users, in random order given a generator.

    A user with more than MOST_ROWS rows comes in parts of so many.
    """
    order = np.argsort(users, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(users[order]) != 0])
    since = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    parts = np.split(order, np.flatnonzero(since % MOST_ROWS == 0)[1:])
    if generator is not None:
        parts = [parts[place] for place in generator.permutation(len(parts))]
    rows = np.concatenate(parts)
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return [rows[first:last] for first, last in cut_between(labels, n_rows)]


def pieces(rows: RankerRows, batch: NDArray[np.integer], n_rows: int) -> list[NDArray[np.integer]]:
    """Cut a mini-batch into pieces of whole users, long histories with long ones.

    Gradients add up to those of the mini-batch. Only a piece's activations are held, and it is padded no further than
    to its own longest history.
    """
    lengths = (rows.histories.items[rows.request[batch]] > 0).sum(axis=1)
    _, own = np.unique(rows.users[batch], return_inverse=True)
    longest = np.zeros(int(own.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(longest, own, lengths)
    order = np.lexsort((own, longest[own]))
    return [batch[order[first:last]] for first, last in cut_between(own[order], n_rows)]
