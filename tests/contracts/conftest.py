"""Tiny models of every kind, as trained and as bundles hold them; each is trained and exported once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.training.quick import quick_trainings
from tests.training.ranker_maker import SMALL
from tests.training.synthetic import with_untouched, write_training_set
from training.bundle import Trained, ranking_features, write_bundle
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.ranker.rows import Fusion, RankerShape
from training.retrieval.collaborative import train_collaborative
from training.retrieval.content import train_content
from training.retrieval.sequence import train_sequence
from training.stacking.gather import BaseModels, stack_rows
from training.stacking.plan import RankingPlan
from training.stacking.pooled import PooledRanker
from training.stacking.rows import Rows
from training.stacking.stack import Stack, plan_stack, refit

if TYPE_CHECKING:
    from recloop.extras import Extras

# As the commands set it, before anything loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SEED = 5
EVERY = 16
_SHALLOW = dataclasses.replace(SMALL, n_layers=1, n_crosses=1)
FORMS: Mapping[str, RankerShape] = {
    "mean": dataclasses.replace(_SHALLOW, use_transformer=False),
    **{str(fusion): dataclasses.replace(_SHALLOW, fusion=fusion) for fusion in Fusion},
}

Rank = Callable[[str | None, int], Trained]
"""Form of the ranker, or None for the trees alone, and seed → what goes into a bundle."""


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    with quick_trainings():
        yield


@pytest.fixture(scope="session")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """The synthetic log; in the base span nobody touched nine of its items, popular ones among them."""
    made = read_training_set(write_training_set(tmp_path_factory.mktemp("contract") / "set"))
    return with_untouched(made, np.isin(np.arange(len(made.items)), np.arange(6, 15)))


def fit_base(training_set: TrainingSet, seed: int) -> BaseModels:
    """Train both base models, for an epoch."""
    collaborative = train_collaborative(training_set, seed=seed, n_factors=8)
    return BaseModels(collaborative, train_sequence(training_set, epochs=1, seed=seed, device="cpu"))


def fit_with_content(training_set: TrainingSet, seed: int) -> BaseModels:
    """Train both base models and the content tower over them."""
    own = fit_base(training_set, seed)
    told = train_content(training_set, own.collaborative, own.sequence, seed=seed)
    return BaseModels(told.collaborative, told.sequence)


@pytest.fixture(scope="session")
def base(training_set: TrainingSet) -> BaseModels:
    """The models that bundles hold."""
    return fit_with_content(training_set, SEED)


@pytest.fixture(scope="session")
def stacked(training_set: TrainingSet, base: BaseModels) -> tuple[Extras, Rows]:
    return stack(training_set, base)


def stack(training_set: TrainingSet, base: BaseModels) -> tuple[Extras, Rows]:
    """Return rows of the stack span: the positive ones, and of the others every EVERY-th."""
    extras, rows = stack_rows(training_set, base, end_ms=training_set.split.holdout_ms, seed=SEED)
    positive = np.any(list(rows.labels.values()), axis=0)
    return extras, rows.take(positive | (np.arange(len(rows)) % EVERY == 0))


@pytest.fixture(scope="session")
def rank_with(training_set: TrainingSet, base: BaseModels, stacked: tuple[Extras, Rows]) -> Rank:
    return ranking(training_set, base, *stacked)


@pytest.fixture(scope="session")
def rank_again(training_set: TrainingSet, base: BaseModels, stacked: tuple[Extras, Rows]) -> Rank:
    """`rank_with` a second time, with nothing kept from the first."""
    return ranking(training_set, base, *stacked)


def ranking(training_set: TrainingSet, base: BaseModels, extras: Extras, rows: Rows) -> Rank:
    names = ranking_features(extras)

    @cache
    def grown(seed: int) -> Stack:
        return refit(plan_stack(rows, names=names, seed=seed), rows, names=names, seed=seed)

    @cache
    def rank(form: str | None, seed: int) -> Trained:
        trees = grown(seed)
        if form is None:
            return Trained(training_set, base, extras, RankingPlan(trees), trees)
        beside = PooledRanker(
            rows, names=names, vocabularies=extras.vocabularies, items=training_set.items, vectors=base.item_vectors(),
            epochs=1, seed=seed, device="cpu", forms=FORMS,
        )  # fmt: skip
        both = beside.check(trees, form)
        return Trained(training_set, base, extras, RankingPlan(both, form), both, beside.train_last(form, 1))

    return rank


@pytest.fixture(scope="session")
def bundle_of(rank_with: Rank, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Path]:
    """Return the folder of the bundle with a form of the ranker, or with the trees alone."""
    folder = tmp_path_factory.mktemp("bundles")

    @cache
    def bundle(form: str | None) -> Path:
        out = folder / (form or "trees")
        write_bundle(
            out, rank_with(form, SEED), created_at=datetime(2024, 4, 1, tzinfo=UTC), seed=SEED, judge=lambda _: {}
        )
        return out

    return bundle
