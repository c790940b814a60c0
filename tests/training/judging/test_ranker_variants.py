"""Variants of the ranker: what each leaves out."""

from __future__ import annotations

import numpy as np

from recloop.histories import Histories
from recloop.sequences import ACTION_CODES
from training.judging.ranker_variants import HYBRIDS, RANKER, RANKER_VARIANTS, without_hides
from training.ranker.rows import RankerShape
from training.stacking.pooled import RANKER_FORMS

CLICK, HIDE = ACTION_CODES["click"], ACTION_CODES["hide"]


def test_actions_close_up_where_hides_were() -> None:
    items = np.array([[0, 3, 4, 5], [6, 7, 8, 9]])
    actions = np.array([[0, CLICK, HIDE, CLICK], [HIDE, HIDE, HIDE, HIDE]])
    ages = np.array([[0, 9, 5, 2], [4, 3, 2, 1]])
    found = without_hides(Histories(items, actions, ages, ages))
    assert found.items.tolist() == [[0, 0, 3, 5], [0, 0, 0, 0]]
    assert found.actions.tolist() == [[0, 0, CLICK, CLICK], [0, 0, 0, 0]]
    assert found.gaps.tolist() == found.dwells.tolist() == [[0, 0, 9, 2], [0, 0, 0, 0]]


def test_every_variant_is_another_and_what_may_be_served_is_among_them() -> None:
    assert next(iter(RANKER_VARIANTS)) == RANKER
    assert RANKER_VARIANTS[RANKER].shape == RankerShape()
    assert [RANKER_VARIANTS[name].shape for name in HYBRIDS.values()] == [*reversed(RANKER_FORMS.values())]
    assert len(set(RANKER_VARIANTS.values())) == len(RANKER_VARIANTS)
