"""The ranker beside the trees: what checks it is new to it, and what both say is one calibrated chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recloop.labels import Head
from recloop.ranker import Ranker, RankerInputs, pool
from recloop.ranking import RANKING_FEATURES, Items, Vocabularies
from recloop.settings import FUSION_CHOICES, RANKER_CHOICES, Settings
from tests.recloop.conftest import tiny_items
from tests.training.stacking.newest_action_rows import make_rows, pooled_ranker
from training.ranker.rows import Fusion, RankerShape
from training.ranker.scoring import torch_score
from training.stacking.pooled import RANKER_FORMS, ranker_forms
from training.stacking.rows import Rows
from training.stacking.stack import Stack, fit_curve, plan_stack, split_rows


@pytest.fixture(scope="module")
def items() -> Items:
    return tiny_items()


@pytest.fixture(scope="module")
def rows(items: Items) -> Rows:
    return make_rows(items)


@pytest.fixture(scope="module")
def trees(rows: Rows) -> Stack:
    return plan_stack(rows, names=RANKING_FEATURES, seed=0)


def test_what_is_checked_is_what_both_say_of_the_newest_rows(rows: Rows, items: Items, trees: Stack) -> None:
    beside = pooled_ranker(rows, items)
    both = beside.check(trees, "newest")
    _, validation = split_rows(rows)
    ranker = Ranker(RankerInputs(RANKING_FEATURES, Vocabularies({})), torch_score(beside.results[0].model))
    said = ranker.columns(validation.matrix, validation.histories, validation.request, validation.moments.items)
    np.testing.assert_allclose(both.checked[Head.CLICK], pool(trees.checked[Head.CLICK], said[:, 0]))
    assert both.plans == trees.plans
    assert both.curves[Head.CLICK] == fit_curve(both.checked[Head.CLICK], validation.labels[Head.CLICK])
    assert both.curves[Head.CLICK] != trees.curves[Head.CLICK], "calibrated as one"


def test_what_checks_it_is_new_to_it(rows: Rows, items: Items, trees: Stack) -> None:
    training, _ = split_rows(rows)
    later = rows.labels[Head.CLICK].copy()
    later[len(training) :] = 1 - later[len(training) :]
    turned = dataclasses.replace(rows, labels=rows.labels | {Head.CLICK: later})
    # One epoch: there is nothing that the rows which check could choose.
    one, other = (pooled_ranker(each, items, epochs=1).check(trees, "newest") for each in (rows, turned))
    np.testing.assert_array_equal(one.checked[Head.CLICK], other.checked[Head.CLICK])
    earlier = rows.labels[Head.CLICK].copy()
    earlier[: len(training)] = 1 - earlier[: len(training)]
    taught = dataclasses.replace(rows, labels=rows.labels | {Head.CLICK: earlier})
    changed = pooled_ranker(taught, items, epochs=1).check(trees, "newest")
    assert np.abs(one.checked[Head.CLICK] - changed.checked[Head.CLICK]).max() > 1e-3


def test_the_last_learns_from_all_rows(rows: Rows, items: Items, trees: Stack) -> None:
    beside = pooled_ranker(rows, items)
    beside.check(trees, "newest")
    beside.train_last("newest", 1)
    checked, last = beside.results
    assert len(last.curve) == 1
    assert last.curve[0].validation_loss is None
    assert last.curve[0].training_loss != checked.curve[0].training_loss


def test_two_equal_opinions_are_their_own_mean() -> None:
    chances = np.array([0.1, 0.5, 0.999])
    np.testing.assert_allclose(pool(chances, np.log(chances / (1 - chances))), chances)
    assert 0 < pool(np.array([0.0]), np.array([-50.0]))[0] < pool(np.array([1.0]), np.array([50.0]))[0] < 1


def test_settings_name_the_forms_and_the_fusions() -> None:
    assert ("auto", "off", *RANKER_FORMS) == RANKER_CHOICES
    assert set(FUSION_CHOICES) == set(Fusion)
    assert Settings().fusion == RankerShape().fusion


def test_settings_choose_the_forms_and_their_fusion() -> None:
    assert ranker_forms(Settings()) == RANKER_FORMS
    assert [*ranker_forms(Settings())] == [*RANKER_FORMS]
    concat = ranker_forms(Settings(ranker="transformer", fusion="concat"))
    assert concat == {"transformer": RankerShape(fusion=Fusion.CONCAT)}
