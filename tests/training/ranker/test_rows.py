"""Rows of the ranker: what they share, how they are cut, and what is refused."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from recloop.errors import TrainingError
from recloop.histories import Histories
from recloop.ranker import cut_between
from tests.training.ranker_maker import make_items, make_rows
from training.ranker.rows import ItemTable, RankerSizes


def test_taken_rows_bring_each_of_their_histories_once() -> None:
    rows = make_rows()
    chosen = np.flatnonzero(np.isin(rows.request, [3, 7]))
    taken = rows.take(chosen)
    assert (len(taken.histories), len(taken)) == (2, len(chosen))
    width = taken.histories.items.shape[1]
    np.testing.assert_array_equal(
        taken.histories.items[taken.request], rows.histories.items[rows.request[chosen], -width:]
    )
    np.testing.assert_array_equal(taken.candidate, rows.candidate[chosen])
    np.testing.assert_array_equal(taken.labels, rows.labels[chosen])


def test_histories_are_trimmed_to_the_longest_of_those_taken() -> None:
    items = np.array([[0, 0, 0, 1], [0, 0, 2, 3], [4, 5, 6, 7], [0, 0, 0, 0]])
    histories = Histories(items, items, items, items)
    assert histories.take(np.array([0, 1])).gaps.tolist() == [[0, 1], [2, 3]]
    assert histories.take(np.array([2, 3])).items.shape == (2, 4)
    assert histories.take(np.array([3])).items.tolist() == [[0]]


def test_stretches_hold_whole_groups_and_every_row_once() -> None:
    groups = np.repeat(np.arange(50), np.random.default_rng(0).integers(1, 9, 50))
    stretches = cut_between(groups, 20)
    assert len(stretches) > 5
    assert [stretches[0][0], stretches[-1][1]] == [0, len(groups)]
    for (_, end), (start, _) in pairwise(stretches):
        assert end == start
        assert groups[end - 1] != groups[start]
    assert max(last - first for first, last in stretches) < 20 + 9
    assert len(stretches) <= len(groups) // 20 + 1


def test_nothing_is_cut_into_nothing() -> None:
    assert cut_between(np.empty(0, dtype=np.int64), 5) == []


def test_sizes_hold_every_code() -> None:
    rows, items = make_rows(), make_items()
    sizes = RankerSizes.of(rows, items)
    assert sizes.item_codes == tuple(items.codes.max(axis=0) + 1)
    assert sizes.user_codes == tuple(rows.user_codes.max(axis=0) + 1)
    assert (sizes.n_items, sizes.n_vector_dimensions, sizes.n_numbers, sizes.n_heads) == (30, 6, 4, 3)
    assert RankerSizes.of(rows, make_items(vectors=False)).n_vector_dimensions == 0


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    rows = make_rows()
    with pytest.raises(TrainingError, match=r"differ in length: \{'request': 60, 'users': 60, 'candidate': 59"):
        dataclasses.replace(rows, candidate=rows.candidate[1:])
    with pytest.raises(TrainingError, match="codes of 31 items and vectors of 30"):
        ItemTable(make_items().codes, np.zeros((30, 2), dtype=np.float32))
