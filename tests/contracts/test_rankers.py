"""One contract over all that ranks: the trees, each form of the ranker, and both pooled; as trained and as served."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recloop.extras import Extras
from recloop.histories import Histories
from recloop.labels import Head
from recloop.ranker import Ranker, RankerInputs, pool
from recloop.ranking import CONTEXT_COLUMNS, RANKING_FEATURES, Context, UserState
from recloop.recommender import Recommender
from recloop.retrieval import Candidates
from recloop.sequences import RecentActions
from serving.scoring import load_bundle
from tests.contracts.conftest import FORMS, SEED, Rank, stack
from training.bundle import Trained, ranking_features
from training.data.dataset import TrainingSet
from training.ranker.scoring import torch_score
from training.stacking.gather import BaseModels
from training.stacking.rows import Rows

pytestmark = pytest.mark.slow

Chances = dict[Head, NDArray[Any]]
Say = Callable[[Rows], Chances]
BundleOf = Callable[[str | None], Path]

ALONE, POOLED = "{} alone", "trees with {}"
RANKERS: dict[str, str | None] = {"trees": None}
RANKERS |= {name.format(form): form for form in FORMS for name in (ALONE, POOLED)}
"""What ranks, and the form of the ranker in it."""


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def as_trained(trained: Trained, name: str) -> Say:
    """Return the models as training leaves them, put together by the formulas of the papers."""
    import lightgbm

    boosters = {head: lightgbm.Booster(model_str=text) for head, text in trained.stack.texts.items()}
    inputs = RankerInputs(ranking_features(trained.extras), trained.extras.vocabularies)
    ranker = Ranker(inputs, torch_score(trained.ranker)) if trained.ranker is not None else None

    def say(rows: Rows) -> Chances:
        trees = {head: booster.predict(rows.matrix) for head, booster in boosters.items()}
        if ranker is not None:
            logits = dict(zip(Head, columns(ranker, rows).T, strict=True))
            if name == ALONE.format(RANKERS[name]):
                return {head: sigmoid(own) for head, own in logits.items()}
            trees = {head: pool(own, logits[head]) for head, own in trees.items()}
        return {head: trained.stack.calibrated(head, own) for head, own in trees.items()}

    return say


def as_served(recommender: Recommender, name: str) -> Say:
    """Return the models as the kernel scores a loaded bundle."""

    def say(rows: Rows) -> Chances:
        if recommender.ranker is None:
            return dict(recommender.predict(rows.matrix))
        logits = columns(recommender.ranker, rows)
        if name == ALONE.format(RANKERS[name]):
            return {head: sigmoid(logits[:, place]) for place, head in enumerate(Head)}
        return dict(recommender.predict(np.hstack([rows.matrix, logits])))

    return say


def columns(ranker: Ranker, rows: Rows) -> NDArray[np.float32]:
    return ranker.columns(rows.matrix, rows.histories, rows.request, rows.moments.items)


STAGES = ("as trained", "as served")


@pytest.fixture(scope="module", params=RANKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=STAGES)
def say(request: pytest.FixtureRequest, name: str, rank_with: Rank, bundle_of: BundleOf) -> Say:
    form = RANKERS[name]
    if request.param == "as trained":
        return as_trained(rank_with(form, SEED), name)
    return as_served(load_bundle(bundle_of(form)), name)


@pytest.fixture(scope="module")
def rows(stacked: tuple[Extras, Rows]) -> Rows:
    """Rows of many requests; the first of them comes from a user without a history."""
    found = stacked[1].take(np.arange(0, len(stacked[1]), 7))
    empty = np.arange(len(found.histories)) == found.request[0]
    parts = (np.where(empty[:, None], 0, part) for part in found.histories.parts)
    found = dataclasses.replace(found, histories=Histories(*parts))
    lengths = (found.histories.items[found.request] > 0).sum(axis=1)
    assert len(found) > 100
    assert len(set(lengths.tolist())) > 10
    assert (lengths == 0).any()
    return found


def assert_chances(chances: Chances, n: int) -> None:
    assert {Head.CLICK, Head.LIKE, Head.HIDE} <= chances.keys()
    for own in chances.values():
        assert own.shape == (n,)
        assert np.isfinite(own).all()
        assert ((own > 0) & (own < 1)).all()


def assert_same(chances: Chances, expected: Chances, *, atol: float = 1e-5) -> None:
    assert chances.keys() == expected.keys()
    assert expected
    for head, own in expected.items():
        np.testing.assert_allclose(chances[head], own, atol=atol, rtol=0, err_msg=head)


def picked(chances: Chances, rows: NDArray[Any]) -> Chances:
    return {head: own[rows] for head, own in chances.items()}


def test_every_row_has_a_chance_per_head_and_rows_differ(say: Say, rows: Rows) -> None:
    chances = say(rows)
    assert_chances(chances, len(rows))
    assert np.ptp(chances[Head.CLICK]) > 0.01


def test_order_of_rows_changes_nothing(say: Say, rows: Rows) -> None:
    order = np.random.default_rng(0).permutation(len(rows))
    assert_same(say(rows.take(order)), picked(say(rows), order))


def test_company_of_a_row_changes_nothing(say: Say, rows: Rows) -> None:
    together = say(rows)
    for place in (0, 1, len(rows) // 2, len(rows) - 1):
        beside = np.flatnonzero(rows.request == rows.request[place])
        for own in (np.array([place]), beside):
            assert_same(say(rows.take(own)), picked(together, own))


def test_no_rows_have_no_chances(say: Say, rows: Rows) -> None:
    assert {own.shape for own in say(rows.take(np.empty(0, dtype=np.int64))).values()} == {(0,)}


@pytest.mark.parametrize("code", [-1, 99])
def test_unknown_user_and_item_have_chances(say: Say, rows: Rows, code: int) -> None:
    nothing = np.zeros_like(rows.histories.items)
    strange = dataclasses.replace(
        rows,
        histories=Histories(nothing, nothing, nothing, nothing),
        moments=dataclasses.replace(rows.moments, items=np.full(len(rows), -1)),
        matrix=np.where(coded(rows), np.float32(code), rows.matrix),
    )
    assert_chances(say(strange), len(rows))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_missing_and_extreme_numbers_have_chances_and_no_neighbour_has_another(
    say: Say, rows: Rows, value: float
) -> None:
    changed = np.ones(rows.matrix.shape, dtype=bool) if np.isnan(value) else ~coded(rows)
    assert_chances(say(dataclasses.replace(rows, matrix=np.where(changed, np.float32(value), rows.matrix))), len(rows))
    rest = np.arange(1, len(rows), 2)
    changed[rest], changed[:, ::3] = False, False
    chances = say(dataclasses.replace(rows, matrix=np.where(changed, np.float32(value), rows.matrix)))
    assert_chances(chances, len(rows))
    assert_same(picked(chances, rest), picked(say(rows), rest))


def coded(rows: Rows) -> NDArray[np.bool_]:
    """Tell which entries of the matrix are codes, not numbers."""
    n_others = rows.matrix.shape[1] - len(RANKING_FEATURES)
    columns = [*(name in CONTEXT_COLUMNS for name in RANKING_FEATURES), *[False] * n_others]
    return np.tile(columns, (len(rows), 1))


def test_a_bundle_says_what_was_trained(name: str, rows: Rows, rank_with: Rank, bundle_of: BundleOf) -> None:
    form = RANKERS[name]
    trained, served = as_trained(rank_with(form, SEED), name), as_served(load_bundle(bundle_of(form)), name)
    # Trees are text and come back to the last bit; a graph adds up in another order.
    assert_same(served(rows), trained(rows), atol=0 if form is None else 1e-5)


def test_the_same_seed_says_the_same_and_another_something_else(
    name: str, rows: Rows, rank_with: Rank, rank_again: Rank
) -> None:
    first, again, other = (
        as_trained(rank(RANKERS[name], seed), name)(rows)
        for rank, seed in ((rank_with, SEED), (rank_again, SEED), (rank_with, SEED + 1))
    )
    # Trees come out of the same bytes.
    assert_same(again, first, atol=0 if RANKERS[name] is None else 1e-6)
    assert np.abs(other[Head.CLICK] - first[Head.CLICK]).max() > 1e-3


def test_what_is_done_later_is_in_no_row_that_any_learns_from(
    training_set: TrainingSet, base: BaseModels, stacked: tuple[Extras, Rows]
) -> None:
    log, examples, end_ms = training_set.interactions, training_set.examples, training_set.split.holdout_ms
    later = log.times_ms >= end_ms
    assert later.any()
    labels = {head: np.where(examples.times_ms >= end_ms, 1 - own, own) for head, own in examples.labels.items()}
    changed = dataclasses.replace(
        training_set,
        interactions=dataclasses.replace(
            log, items=np.where(later, 0, log.items), actions=np.where(later, 1, log.actions)
        ),
        examples=dataclasses.replace(examples, labels=labels),
    )
    (extras, rows), (changed_extras, changed_rows) = stacked, stack(changed, base)
    np.testing.assert_array_equal(changed_rows.matrix, rows.matrix)
    np.testing.assert_array_equal(changed_rows.histories.items, rows.histories.items)
    for head, own in rows.labels.items():
        np.testing.assert_array_equal(changed_rows.labels[head], own, err_msg=head)
    np.testing.assert_array_equal(changed_extras.statistics.sums, extras.statistics.sums)
    assert changed_extras.statistics.means == extras.statistics.means


@pytest.fixture(scope="module", params=[None, *FORMS], ids=lambda form: form or "trees")
def recommender(request: pytest.FixtureRequest, bundle_of: BundleOf) -> Recommender:
    return load_bundle(bundle_of(request.param))


@pytest.fixture(scope="module")
def asked(training_set: TrainingSet) -> tuple[UserState, Context]:
    row = len(training_set.examples) - 1
    return training_set.user_state(row), training_set.context(row)


def taken(candidates: Candidates, order: NDArray[np.int64]) -> Candidates:
    sources = tuple(candidates.sources[place] for place in order)
    return Candidates(candidates.rows[order], sources, candidates.cf_scores[order], candidates.sequence_scores[order])


def test_permuted_candidates_have_permuted_chances(recommender: Recommender, asked: tuple[UserState, Context]) -> None:
    user, context = asked
    candidates = recommender.retrieve(user, context=context)
    assert len(candidates.rows) > 20
    straight = recommender.rank(user, candidates, context=context).heads
    order = np.random.default_rng(1).permutation(len(candidates.rows))
    assert_same(recommender.rank(user, taken(candidates, order), context=context).heads, picked(straight, order))
    for place in (0, 9):
        alone = np.array([place])
        assert_same(recommender.rank(user, taken(candidates, alone), context=context).heads, picked(straight, alone))


def strangers(user: UserState) -> Iterator[UserState]:
    """Yield users of whom little or nothing is known."""
    yield UserState("nobody")
    yield dataclasses.replace(user, recent=RecentActions())
    yield dataclasses.replace(user, recent=RecentActions(("withdrawn",), ("save",), (user.recent.times_ms[-1],), (0,)))
    yield dataclasses.replace(user, numbers={}, as_of_ms=None, category_weights={}, segment="unheard of")


def test_whoever_asks_has_candidates_with_chances(recommender: Recommender, asked: tuple[UserState, Context]) -> None:
    user, context = asked
    for own in (user, *strangers(user)):
        for where in (context, Context(context.time_ms, surface="unheard of")):
            scored = recommender.score(own, context=where)
            assert len(scored.candidates.rows) > 20
            assert_chances(dict(scored.heads), len(scored.candidates.rows))
