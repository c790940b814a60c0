"""What the ranker reads of the stack's rows and of the catalogue."""

from __future__ import annotations

import numpy as np

from recloop.labels import Head
from recloop.ranker import RankerInputs
from recloop.ranking import ITEM_NUMBER_COLUMNS, RANKING_FEATURES, Items, Vocabularies
from tests.training.plain_rows import planted_rows
from training.stacking.ranker_rows import item_table, ranker_rows


def test_slates_and_exposures_of_a_user_are_two_groups() -> None:
    rows = planted_rows(80, 1)
    rows.shown[40:] = False
    found = ranker_rows(rows, RankerInputs(RANKING_FEATURES, Vocabularies({})))
    # 40 users in turn, each with one row of either kind
    assert len(set(found.users)) == 80
    assert set(found.users[:40] - 1) == set(found.users[40:])


def test_an_item_is_its_row_and_one_and_labels_are_of_every_head() -> None:
    rows = planted_rows(10, 1)
    found = ranker_rows(rows, RankerInputs(RANKING_FEATURES, Vocabularies({})))
    np.testing.assert_array_equal(found.candidate, rows.moments.items + 1)
    assert found.labels.shape == (10, len(Head))
    np.testing.assert_array_equal(found.labels[:, list(Head).index(Head.CLICK)], rows.labels[Head.CLICK])


def test_frequent_codes_come_first_and_what_one_item_alone_has_is_unknown() -> None:
    numbers = np.full((4, len(ITEM_NUMBER_COLUMNS)), np.nan)
    numbers[:, ITEM_NUMBER_COLUMNS.index("duration_ms")] = [10_000, 10_000, 10_000, 600_000]
    categories = (("war",), ("drama", "war"), ("drama",), ("noir",))
    items = Items(tuple("abcd"), ("",) * 4, categories, ("x", "y", "y", None), numbers, 0)
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    table = item_table(items, vectors)
    authors, kinds, lengths = table.codes.T.tolist()
    assert authors == [0, 0, 1, 1, 0]
    assert kinds == [0, 0, 1, 1, 0], "the first category stands for all"
    assert lengths == [0, 1, 1, 1, 0]
    np.testing.assert_array_equal(table.vectors, np.vstack([np.zeros((1, 2)), vectors]))
