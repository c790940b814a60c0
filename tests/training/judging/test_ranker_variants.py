"""Variants of the ranker: what each leaves out."""

from __future__ import annotations

import numpy as np

from recloop.histories import Histories
from recloop.labels import Head
from recloop.ranker import pool, to_logits
from recloop.sequences import ACTION_CODES
from training.judging.ranker_variants import HYBRIDS, RANKER, RANKER_VARIANTS, score_hybrid, without_hides
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


def test_trees_with_a_ranker_take_as_much_time_and_room_as_both() -> None:
    trees = {"columns": 9, "training_cpu_seconds": 2.5, "tree_bytes": 2_000, "scoring_ms_per_1000_rows": 0.25}
    ranker = {"training_cpu_seconds": 4.0, "weight_bytes": 700, "scoring_ms_per_1000_rows": 3.5}
    chances, logits = np.array([0.1, 0.6]), np.array([0.4, 0.2])
    scores, spent = score_hybrid({Head.CLICK: [chances]}, {Head.CLICK: [logits]}, (trees, ranker))
    np.testing.assert_array_equal(scores[Head.CLICK], [pool(chances, to_logits(logits))])
    assert spent == {
        "training_cpu_seconds": 6.5, "tree_bytes": 2_000, "weight_bytes": 700, "scoring_ms_per_1000_rows": 3.75,
    }  # fmt: skip
