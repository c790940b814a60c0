"""The worst slice of two bundles that a test makes up: which loss is sure, on what, and that noise is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recloop.head_metrics import auc
from recloop.labels import Head
from recloop.metrics import bootstrap_interval
from training.evaluate import MODEL, Evaluation
from training.judging.heads import ScoredRows
from training.judging.worst_slice import OnSlice, worst_slice
from training.stacking.row_statistics import Moments

N_REQUESTS, N_ROWS = 200, 2_000
ASKED, JUDGED = np.arange(N_REQUESTS), np.arange(N_ROWS)
REQUESTS = {"user=new": ASKED < 80, "user=light": (ASKED >= 80) & (ASKED < 190), "user=heavy": ASKED >= 190}
ROWS = {
    "item=head": JUDGED % 5 < 3, "item=tail": JUDGED % 5 >= 3, "hour=00-04": JUDGED % 40 < 20,
    "surface=home": JUDGED >= 40, "surface=rare": JUDGED < 40,
}  # fmt: skip
CLICKED = (np.random.default_rng(0).random(N_ROWS) < 0.3).astype(np.int8)


def evaluation(seed: int, *, heads: tuple[Head, ...] = (Head.CLICK,)) -> Evaluation:
    """Return an evaluation of 100 users with two requests and twenty rows each, as good as that of any other seed."""
    generator = np.random.default_rng(seed)
    ndcg = {MODEL: 0.26 + generator.normal(0, 0.01, N_REQUESTS)}
    moments = Moments(np.array([f"u{row // 20}" for row in JUDGED], dtype=object), *3 * (np.zeros(N_ROWS, int),))
    chances = {str(head): CLICKED + generator.normal(0, 1, N_ROWS) for head in heads}
    rows = ScoredRows(JUDGED, moments, {Head.CLICK: CLICKED}, chances)
    users = [f"u{row // 2}" for row in ASKED]
    return Evaluation(
        user_ids=users, ndcg=ndcg, offline={}, slices=REQUESTS, heads={}, head_slices={}, rows=rows, row_slices=ROWS
    )


def worst(new: Evaluation, old: Evaluation) -> OnSlice | None:
    return worst_slice(new, old, seed=1)


def blind_on(evaluation: Evaluation, name: str) -> Any:
    """Let a bundle's chances say nothing on a slice."""
    chances = evaluation.rows.chances[Head.CLICK]
    chances[ROWS[name]] = np.random.default_rng(9).normal(0, 1, ROWS[name].sum())
    return chances[ROWS[name]]


@pytest.mark.parametrize("name", REQUESTS)
def test_slates_that_are_surely_worse_on_a_slice_are_found(name: str) -> None:
    new, old = evaluation(1), evaluation(2)
    new.ndcg[MODEL] += np.where(REQUESTS[name], -0.03, 0.03)
    found = worst(new, old)
    if name == "user=heavy":
        assert found is None, "five users are too few to be sure of"
        return
    assert found is not None
    assert (found.name, found.metric) == (name, "ndcg@10")
    ours, theirs = (own.ndcg[MODEL][REQUESTS[name]].mean() for own in (new, old))
    assert (found.ours, found.theirs, found.difference.mean) == pytest.approx((ours, theirs, ours - theirs))
    assert found.difference.high < 0


def test_chances_that_are_surely_worse_on_items_of_one_kind_are_found() -> None:
    new, old = evaluation(1), evaluation(2)
    ours = blind_on(new, "item=tail")
    theirs, labels = old.rows.chances[Head.CLICK][ROWS["item=tail"]], CLICKED[ROWS["item=tail"]]
    found = worst(new, old)
    assert found is not None
    assert (found.name, found.metric) == ("item=tail", "click AUC")
    assert (found.ours, found.theirs) == (auc(labels, ours), auc(labels, theirs))
    assert found.difference.mean == pytest.approx(found.ours - found.theirs)


def test_rows_of_two_users_decide_nothing() -> None:
    new = evaluation(1)
    blind_on(new, "surface=rare")
    assert worst(new, evaluation(2)) is None


def test_rows_are_sliced_by_item_and_surface_alone() -> None:
    new = evaluation(1)
    blind_on(new, "hour=00-04")
    found = worst(new, evaluation(2))
    assert found is not None
    assert found.name.startswith(("item=", "surface=")), "where half of what is lost lies"


def test_bundle_without_the_head_is_judged_by_its_slates() -> None:
    new, old = evaluation(1, heads=()), evaluation(2)
    assert worst(new, old) is None
    new.ndcg[MODEL] -= np.where(REQUESTS["user=new"], 0.03, 0)
    assert worst(new, old) is not None


def test_loss_that_would_be_sure_of_one_slice_is_not_of_the_worst_of_several() -> None:
    new, old = evaluation(10), evaluation(110)
    own = REQUESTS["user=new"]
    users = [user for user, asked in zip(new.user_ids, own, strict=True) if asked]
    assert bootstrap_interval((new.ndcg[MODEL] - old.ndcg[MODEL])[own], groups=users, seed=1).high < 0
    assert worst(new, old) is None


def test_equal_bundles_have_no_worst_slice() -> None:
    assert worst(evaluation(1), evaluation(1)) is None
