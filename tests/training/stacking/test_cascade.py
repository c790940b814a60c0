"""The ranker below the trees: nothing it says of a row comes from that row or from later ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recloop.histories import Histories
from recloop.labels import Head
from recloop.ranker import RANKER_COLUMNS
from recloop.ranking import RANKING_FEATURES, Items, Matrix, Vocabularies
from tests.recloop.conftest import tiny_items
from training.ranker.rows import RankerShape
from training.stacking.cascade import CUTS, Cascade
from training.stacking.row_statistics import Moments
from training.stacking.rows import Rows

N = 600
SHAPE = RankerShape(n_dimensions=8, n_layers=1, hidden=(16,), dropout=0.0)


def make_rows(items: Items) -> Rows:
    """Rows whose click says whether the candidate is what the user took last."""
    generator = np.random.default_rng(3)
    n_items = len(items)
    newest, candidates = generator.integers(0, 3, N), generator.integers(0, min(3, n_items), N)
    one = np.ones((N, 1), dtype=np.int64)
    clicks = (newest == candidates).astype(np.int8)
    none = np.zeros(N, dtype=np.int8)
    users = np.array([f"u{place % 30}" for place in range(N)], dtype=object)
    matrix = generator.normal(size=(N, len(RANKING_FEATURES))).astype(np.float32)
    matrix[:, -6:] = 0
    return Rows(
        matrix,
        {Head.CLICK: clicks, Head.LONG_VIEW: none, Head.LIKE: none, Head.HIDE: none},
        Moments(users, candidates, np.full(N, None, dtype=object), np.arange(N)),
        np.full(N, {}, dtype=object),
        np.ones(N, dtype=bool),
        np.ones(N, dtype=bool),
        Histories((newest + 1)[:, None], one, one, one),
        np.arange(N),
    )


def cascade_of(rows: Rows, items: Items, *, seed: int = 0) -> tuple[Cascade, Rows]:
    vectors = np.eye(len(items), 4, dtype=np.float32)
    cascade = Cascade(
        rows, names=RANKING_FEATURES, vocabularies=Vocabularies({}), items=items, vectors=vectors, epochs=2, seed=seed,
        device="cpu", shape=SHAPE,
    )  # fmt: skip
    described = cascade.describe()
    cascade.train_last()
    return cascade, described


@pytest.fixture(scope="module")
def items() -> Items:
    return tiny_items()


@pytest.fixture(scope="module")
def trained(items: Items) -> tuple[Cascade, Rows]:
    return cascade_of(make_rows(items), items)


def added(rows: Rows) -> Matrix:
    return rows.matrix[:, len(RANKING_FEATURES) :]


def test_rows_before_the_first_cut_have_no_number(trained: tuple[Cascade, Rows]) -> None:
    cascade, described = trained
    assert added(described).shape == (N, len(RANKER_COLUMNS))
    first = int(CUTS[0] * N)
    assert np.isnan(added(described)[:first]).all()
    assert np.isfinite(added(described)[first:]).all()
    assert len(cascade.results) == len(CUTS) + 1


def test_later_outcomes_change_no_earlier_number(trained: tuple[Cascade, Rows], items: Items) -> None:
    rows = make_rows(items)
    second = int(CUTS[1] * N)
    later = rows.labels[Head.CLICK].copy()
    later[second + 1 :] = 1 - later[second + 1 :]
    again, described = cascade_of(dataclasses.replace(rows, labels=rows.labels | {Head.CLICK: later}), items)
    # The rows after the second cut chose among epochs; before it nobody has seen them.
    np.testing.assert_array_equal(added(described)[:second], added(trained[1])[:second])
    losses, changed = ([result.curve[0].training_loss for result in one.results] for one in (trained[0], again))
    assert changed[0] == losses[0]
    assert changed[-1] != losses[-1]


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(
    trained: tuple[Cascade, Rows], items: Items
) -> None:
    _, again = cascade_of(make_rows(items), items)
    np.testing.assert_allclose(added(again), added(trained[1]), atol=1e-6)
    _, other = cascade_of(make_rows(items), items, seed=1)
    assert np.nanmax(np.abs(added(other) - added(trained[1]))) > 1e-3
