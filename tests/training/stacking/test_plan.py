"""The plan of what ranks: of the ranker's forms stays the lightest that the heads are better with, or that is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES
from tests.recloop.conftest import tiny_items
from tests.training.stacking.newest_action_rows import FORMS, make_rows, pooled_ranker
from training.costs import Stopwatch
from training.stacking.plan import TREES, RankingPlan, plan_ranking
from training.stacking.rows import Rows
from training.stacking.stack import plan_stack


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows(tiny_items())


def plan(rows: Rows, *, forms: Sequence[str] = tuple(FORMS), always: bool = False) -> RankingPlan:
    chosen = {form: FORMS[form] for form in forms}
    beside = pooled_ranker(rows, tiny_items(), epochs=20, forms=chosen) if forms else None
    return plan_ranking(rows, beside, names=RANKING_FEATURES, always=always, seed=0, watch=Stopwatch())


def without_signal(rows: Rows) -> Rows:
    clicks = np.random.default_rng(8).permutation(rows.labels[Head.CLICK])
    return dataclasses.replace(rows, labels=rows.labels | {Head.CLICK: clicks})


def test_the_form_that_helps_stays_for_as_long_as_did_best(rows: Rows) -> None:
    made = plan(rows)
    trees = plan_stack(rows, names=RANKING_FEATURES, seed=0)
    assert [(check.form, check.against, check.worth.helps) for check in made.checks] == [
        ("blind", TREES, False), ("newest", TREES, True),
    ]  # fmt: skip
    assert made.form == "newest"
    assert 1 <= made.epochs <= 20
    assert made.stack.curves != trees.curves, "calibrated with it"
    assert made.stack.plans == trees.plans


def test_a_heavier_form_must_beat_the_lighter(rows: Rows) -> None:
    made = plan(rows, forms=["newest", "blind"])
    assert [(check.against, check.worth.helps) for check in made.checks] == [(TREES, True), ("newest", False)]
    assert made.form == "newest"


def test_of_many_rows_a_cpu_checks_the_lightest_form_alone(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.stacking.plan.MOST_CHECKED_ROWS", len(rows) - 1)
    made = plan(rows)
    assert [check.form for check in made.checks] == ["blind"]
    assert made.unchecked == ("newest",)
    assert made.form is None
    assert plan(rows, forms=["newest"]).form == "newest", "the lightest of those that are wanted"
    monkeypatch.setattr("training.stacking.plan.MOST_CHECKED_ROWS", len(rows))
    assert plan(rows).unchecked == ()


def test_a_ranker_that_does_not_help_is_left_out_unless_it_must_be_there(rows: Rows) -> None:
    noise = without_signal(rows)
    left_out, there = plan(noise), plan(noise, forms=["newest"], always=True)
    assert not any(check.worth.helps for check in left_out.checks)
    assert left_out.form is None
    assert left_out.stack.curves == plan_stack(noise, names=RANKING_FEATURES, seed=0).curves
    assert there.form == "newest"
    assert there.epochs >= 1
    assert there.checks == left_out.checks[1:]


def test_without_a_ranker_there_is_nothing_to_say_of_one(rows: Rows) -> None:
    made = plan(rows, forms=())
    assert made.form is None
    assert made.checks == ()
