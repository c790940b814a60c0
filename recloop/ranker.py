"""The ranker beside the trees: what it says of each head is a further column, and joins what the trees say.

The transformer itself comes in as a function. What it reads is the same matrix, taken apart: columns of codes become
codes again, all others numbers; and beside it the history and the candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.extras import ATTRIBUTE, attribute_column
from recloop.histories import Codes, Histories
from recloop.labels import Head
from recloop.ranking import CATEGORICAL, Indices, Matrix, Vocabularies

RANKER_COLUMNS = tuple(f"ranker_{head}" for head in Head)
"""Logits, head by head. No tree reads them."""

SHARE = 0.3
"""Of the ranker in the log-odds of a head. From .2 to .4 it changed little, on the validation days of KuaiRand."""

CONTEXT_CODES = ("hour", "surface_code", "device_code")
USER_CODES = tuple(name for name in CATEGORICAL if name not in CONTEXT_CODES)

Score = Callable[[Histories, Codes, Codes, Codes, Codes, NDArray[np.float32]], NDArray[np.floating[Any]]]
"""(histories, request [n], candidate [n], user and context codes [n, …], numbers [n, f]) → logits [n, heads]."""

HISTORY_INPUTS = ("items", "actions", "gaps", "dwells")
ROW_INPUTS = ("request", "candidate", "user_codes", "context_codes", "numbers")
"""Inputs of the ONNX graph, int64 but for the float32 numbers; its output is `logits`."""

BATCH_ROWS = 250


def graph_inputs(
    histories: Histories, request: Codes, candidate: Codes, users: Codes, contexts: Codes, numbers: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """Return what a `Score` is given as the named inputs of the ONNX graph."""
    integers = (*histories.parts, request, candidate, users, contexts)
    arrays: list[NDArray[Any]] = [np.ascontiguousarray(part, dtype=np.int64) for part in integers]
    arrays.append(np.ascontiguousarray(numbers, dtype=np.float32))
    return dict(zip((*HISTORY_INPUTS, *ROW_INPUTS), arrays, strict=True))


def tree_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that trees read: all but the ranker's, which are the last where there is one."""
    return tuple(name for name in names if name not in RANKER_COLUMNS)


def pool(chances: NDArray[np.floating[Any]], logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the chances whose log-odds are the weighted mean of both.

    A logarithmic opinion pool (Genest and Zidek 1986): one of two models that err in different ways need not be chosen.
    """
    pooled: NDArray[np.float64] = (1 - SHARE) * to_logits(chances) + SHARE * logits
    return 1 / (1 + np.exp(-pooled))


def to_logits(chances: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the logits of probabilities, which are clipped to [1e-6, 1 - 1e-6]."""
    kept = np.clip(chances, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(kept / (1 - kept)), dtype=np.float64)


class RankerInputs:
    """Takes a bundle's ranking matrix apart. A code is that of the matrix + 1, so that 0 says unknown."""

    def __init__(self, names: Sequence[str], vocabularies: Vocabularies) -> None:
        named = (column for column, codes in vocabularies.codes.items() if column.startswith(ATTRIBUTE) and codes)
        coded = set(map(attribute_column, named))
        self._user = [place for place, name in enumerate(names) if name in USER_CODES or name in coded]
        self._context = [place for place, name in enumerate(names) if name in CONTEXT_CODES]
        codes = {*self._user, *self._context}
        self._numbers = [place for place in range(len(names)) if place not in codes]

    def split(self, matrix: Matrix) -> tuple[Codes, Codes, NDArray[np.float32]]:
        """Return user codes, context codes and numbers; numbers by the logarithm of their size, as counts need it."""
        numbers = matrix[:, self._numbers]
        with np.errstate(invalid="ignore"):
            squashed = np.sign(numbers) * np.log1p(np.abs(numbers))
        return self._codes(matrix, self._user), self._codes(matrix, self._context), squashed.astype(np.float32)

    @staticmethod
    def _codes(matrix: Matrix, places: list[int]) -> Codes:
        return np.maximum(np.nan_to_num(matrix[:, places], nan=-1.0) + 1, 0).astype(np.int64)


class Ranker:
    """Says the columns of any rows: those of one request, or many requests' at once."""

    def __init__(self, inputs: RankerInputs, score: Score) -> None:
        self._inputs = inputs
        self._score = score

    def columns(self, matrix: Matrix, histories: Histories, request: Indices, items: Indices) -> NDArray[np.float32]:
        """Return float32 [n, len(RANKER_COLUMNS)].

        Args:
            matrix: [n, the columns before these].
            histories: of the requests.
            request: [n], row of `histories`.
            items: [n], catalogue rows.
        """
        found = np.zeros((len(matrix), len(RANKER_COLUMNS)), dtype=np.float32)
        lengths = histories.lengths
        # Like lengths together: less padding.
        order = np.lexsort((request, lengths[request]))
        for first, last in cut_between(request[order], BATCH_ROWS):
            rows = order[first:last]
            requests, own = np.unique(request[rows], return_inverse=True)
            parts = self._inputs.split(matrix[rows])
            found[rows] = self._score(histories.take(requests), own, items[rows] + 1, *parts)
        return found


def cut_between(groups: NDArray[np.integer], n: int) -> list[tuple[int, int]]:
    """Cut rows, of which those of a group lie together, into stretches of about n that split no group.

    >>> cut_between(np.array([5, 5, 5, 8, 2, 2, 2, 2, 2]), 3)
    [(0, 3), (3, 9)]
    """
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.empty(0, dtype=np.int64)
    firsts = starts[np.flatnonzero(np.diff(starts // n, prepend=-1))]
    return list(pairwise([*firsts.tolist(), len(groups)]))
