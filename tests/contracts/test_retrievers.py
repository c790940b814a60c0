"""One contract over every model that gives vectors for the index: as trained, with the content tower, and as served."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recloop.bundles import BundleFile
from recloop.ranking import Context, UserState
from recloop.retrieval import Retriever
from recloop.sequences import RecentActions
from serving.scoring import load_bundle
from tests.contracts.conftest import SEED, fit_base, fit_with_content
from training.data.dataset import TrainingSet
from training.stacking.gather import BaseModels

Request = tuple[UserState, Context]
Vectors = NDArray[np.float32]

SIDES = {"ALS": 0, "transformer": 1}
BUNDLED = "as served"
FITS = {"as trained": fit_base, "with content": fit_with_content}
every_side = pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
every_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)


@dataclass(frozen=True)
class Searched:
    """One model: how it makes users' vectors and scores, and the vectors of the index."""

    retriever: Retriever
    side: int
    index: Vectors

    def users(self, requests: list[Request]) -> Vectors:
        return self.retriever.user_vectors(requests)[self.side]


NOTHING_POPULAR = np.empty(0, dtype=np.int64)


def index_of(base: BaseModels, side: int) -> Vectors:
    return (base.collaborative.factors, base.sequence.item_vectors())[side]


@pytest.fixture(scope="session")
def fitted(training_set: TrainingSet) -> dict[str, BaseModels]:
    return {stage: fit(training_set, SEED) for stage, fit in FITS.items()}


@pytest.fixture(scope="module", params=[*FITS, pytest.param(BUNDLED, marks=pytest.mark.slow)])
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=SIDES)
def model(request: pytest.FixtureRequest, stage: str, training_set: TrainingSet) -> Searched:
    side = SIDES[request.param]
    if stage == BUNDLED:
        return served(request.getfixturevalue("bundle_of")(None), side)
    base = request.getfixturevalue("fitted")[stage]
    return Searched(base.retriever(training_set, NOTHING_POPULAR), side, index_of(base, side))


def served(bundle: Path, side: int) -> Searched:
    file = (BundleFile.CF_FACTORS, BundleFile.ITEM_VECTORS)[side]
    return Searched(load_bundle(bundle), side, np.load(bundle / file, allow_pickle=False))


@pytest.fixture(scope="session")
def requests(training_set: TrainingSet) -> list[Request]:
    """Users with histories of all lengths up to 14, more of them than are encoded at once; the first has none."""
    rows = np.linspace(0, len(training_set.examples) - 1, 70).astype(int).tolist()
    asked = [
        (cut(training_set.user_state(row), place % 15), training_set.context(row)) for place, row in enumerate(rows)
    ]
    assert {len(user.recent) for user, _ in asked} >= {*range(11)}
    return asked


def cut(user: UserState, n: int) -> UserState:
    """Return the user before the action n."""
    recent = user.recent
    parts = (part[:n] for part in (recent.item_ids, recent.actions, recent.times_ms, recent.dwell_ms))
    return dataclasses.replace(user, recent=RecentActions(*parts))


def with_recent(user: UserState, *item_ids: str) -> UserState:
    """Return the user with more items, saved a minute after the others."""
    recent, n = user.recent, len(item_ids)
    later = (max(recent.times_ms, default=0) + 60_000,) * n
    ids, actions = recent.item_ids + item_ids, recent.actions + ("save",) * n
    longer = RecentActions(ids, actions, recent.times_ms + later, recent.dwell_ms + (0,) * n)
    return dataclasses.replace(user, recent=longer)


def test_index_and_users_are_float32_of_one_width(
    model: Searched, training_set: TrainingSet, requests: list[Request]
) -> None:
    users = model.users(requests)
    assert model.index.dtype == users.dtype == np.float32
    assert model.index.shape == (len(training_set.items), users.shape[1])
    assert len(users) == len(requests)


def test_every_number_is_finite(model: Searched, requests: list[Request]) -> None:
    assert np.isfinite(model.index).all()
    assert np.isfinite(model.users(requests)).all()


def test_items_and_users_differ(model: Searched, requests: list[Request]) -> None:
    assert len(np.unique(model.index, axis=0)) > len(model.index) / 2
    assert len(np.unique(model.users(requests), axis=0)) > len(requests) / 2


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(UserState("nobody"), id="no_history"),
        pytest.param(with_recent(UserState("u00"), "withdrawn", "never seen"), id="history_of_unknown_items"),
    ],
)
def test_user_without_a_known_item_scores_nothing_and_gets_what_is_popular_or_fresh(
    model: Searched, user: UserState, requests: list[Request]
) -> None:
    context = requests[-1][1]
    assert not model.users([requests[-1], (user, context)])[1].any()
    scores = model.retriever.retrieval_scores(user, context=context)[model.side]
    assert (scores.dtype, scores.shape, scores.any()) == (np.float64, (len(model.index),), False)
    assert set(model.retriever.retrieve(user, context=context).sources) <= {"popular", "fresh"}


def test_unknown_item_in_a_history_changes_nothing(model: Searched, requests: list[Request]) -> None:
    user, context = requests[-1]
    assert len(user.recent) > 2
    known, unknown, other = model.users(
        [(user, context), (with_recent(user, "withdrawn"), context), (with_recent(user, "i03"), context)]
    )
    np.testing.assert_allclose(unknown, known, atol=1e-5)
    assert np.abs(other - known).max() > 1e-3


def test_order_and_company_of_requests_change_nothing(model: Searched, requests: list[Request]) -> None:
    together = model.users(requests)
    np.testing.assert_allclose(model.users(requests[::-1])[::-1], together, atol=1e-5)
    for place in range(0, len(requests), 6):
        np.testing.assert_allclose(model.users([requests[place]])[0], together[place], atol=1e-5)


def test_scores_are_inner_products_of_users_and_index(model: Searched, requests: list[Request]) -> None:
    side, retriever = model.side, model.retriever
    expected = model.users(requests).astype(np.float64) @ model.index.T.astype(np.float64)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(retriever.batch_scores(requests)[side], expected, atol=1e-4)
    for (user, context), own in zip(requests[:10], expected, strict=False):
        np.testing.assert_allclose(retriever.retrieval_scores(user, context=context)[side], own, atol=1e-4)
    asked_by, items = np.array([8, 0, 8, 21]), np.array([3, 9, 0, 3])
    names = [*(retriever.items.ids[item] for item in items), "withdrawn"]
    found = retriever.pair_scores(requests, retriever.histories(requests), np.r_[asked_by, 8], names)[side]
    np.testing.assert_allclose(found, np.r_[expected[asked_by, items], np.nan], atol=1e-4)


@every_fit
def test_the_same_seed_gives_the_same_vectors_and_another_others(
    fit: Callable[[TrainingSet, int], BaseModels], training_set: TrainingSet, requests: list[Request]
) -> None:
    first, again, other = (vectors(fit(training_set, seed), training_set, requests) for seed in (SEED, SEED, SEED + 1))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_allclose(same, one, atol=1e-6)
        assert np.abs(different - one).max() > 1e-3


@every_fit
def test_what_is_done_later_teaches_nothing(
    fit: Callable[[TrainingSet, int], BaseModels], training_set: TrainingSet, requests: list[Request]
) -> None:
    split, log = training_set.split, training_set.interactions
    # The content tower chooses how much to believe on the stack span.
    later = log.times_ms >= (split.stack_ms if fit is fit_base else split.holdout_ms)
    assert later.any()
    changed = dataclasses.replace(log, items=np.where(later, 0, log.items), actions=np.where(later, 1, log.actions))
    told = fit(dataclasses.replace(training_set, interactions=changed), SEED)
    before, after = (vectors(base, training_set, requests) for base in (fit(training_set, SEED), told))
    for one, same in zip(before, after, strict=True):
        np.testing.assert_allclose(same, one, atol=1e-6)


def vectors(base: BaseModels, training_set: TrainingSet, requests: list[Request]) -> list[Vectors]:
    """Return the vectors of all items and of the users, by either model."""
    users = base.retriever(training_set, NOTHING_POPULAR).user_vectors(requests)
    return [*users, *(index_of(base, side) for side in SIDES.values())]


@pytest.mark.slow
@every_side
def test_a_bundle_serves_what_was_trained(
    side: int, base: BaseModels, bundle_of: Callable[[None], Path], training_set: TrainingSet, requests: list[Request]
) -> None:
    bundled = served(bundle_of(None), side)
    np.testing.assert_array_equal(bundled.index, index_of(base, side))
    own = base.retriever(training_set, NOTHING_POPULAR).user_vectors(requests)[side]
    np.testing.assert_allclose(bundled.users(requests), own, atol=1e-4)


def test_the_transformers_users_end_in_one_for_the_bias_of_the_items(
    fitted: dict[str, BaseModels], training_set: TrainingSet, requests: list[Request]
) -> None:
    known = np.array([len(user.recent) > 0 for user, _ in requests])
    assert known.any()
    for base in fitted.values():
        users = base.retriever(training_set, NOTHING_POPULAR).user_vectors(requests)[1]
        np.testing.assert_array_equal(users[:, -1], known)
        np.testing.assert_array_equal(base.sequence.item_vectors()[:, -1], base.sequence.model.bias.detach().numpy())


def test_both_models_items_side_by_side_have_one_scale(fitted: dict[str, BaseModels]) -> None:
    for base in fitted.values():
        both, n_factors = base.item_vectors(), base.collaborative.factors.shape[1]
        assert both.dtype == np.float32
        for side, part in enumerate((both[:, :n_factors], both[:, n_factors:])):
            assert np.square(part).mean() == pytest.approx(1.0, rel=1e-4)
            own = index_of(base, side)
            np.testing.assert_allclose(part * np.sqrt(np.square(own).mean()), own, rtol=1e-3, atol=1e-5)
