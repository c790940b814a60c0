"""The plan of what ranks: the ranker stays where the heads are better with it, or where it is told to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES
from tests.recloop.conftest import tiny_items
from tests.training.stacking.newest_action_rows import make_rows, pooled_ranker
from training.costs import Stopwatch
from training.stacking.plan import RankingPlan, plan_ranking
from training.stacking.rows import Rows
from training.stacking.stack import plan_stack


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows(tiny_items())


def plan(rows: Rows, *, ranker: bool = True, always: bool = False) -> RankingPlan:
    beside = pooled_ranker(rows, tiny_items(), epochs=20) if ranker else None
    return plan_ranking(rows, beside, names=RANKING_FEATURES, always=always, seed=0, watch=Stopwatch())


def without_signal(rows: Rows) -> Rows:
    clicks = np.random.default_rng(8).permutation(rows.labels[Head.CLICK])
    return dataclasses.replace(rows, labels=rows.labels | {Head.CLICK: clicks})


def test_a_ranker_that_helps_stays_for_as_long_as_did_best(rows: Rows) -> None:
    made = plan(rows)
    trees = plan_stack(rows, names=RANKING_FEATURES, seed=0)
    assert made.worth is not None
    assert made.worth.helps
    assert 1 <= made.ranker_epochs <= 20
    assert made.stack.curves != trees.curves, "calibrated with it"
    assert made.stack.plans == trees.plans


def test_a_ranker_that_does_not_help_is_left_out_unless_it_must_be_there(rows: Rows) -> None:
    noise = without_signal(rows)
    left_out, there = plan(noise), plan(noise, always=True)
    assert left_out.worth is not None
    assert not left_out.worth.helps
    assert left_out.ranker_epochs == 0
    assert left_out.stack.curves == plan_stack(noise, names=RANKING_FEATURES, seed=0).curves
    assert there.ranker_epochs >= 1
    assert there.worth == left_out.worth


def test_without_a_ranker_there_is_nothing_to_say_of_one(rows: Rows) -> None:
    made = plan(rows, ranker=False)
    assert made.worth is None
    assert made.ranker_epochs == 0
