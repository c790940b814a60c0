"""Rows of the stack: the same numbers as serving's, from what was known at the moment."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recloop.collaborative import FoldIn
from recloop.features import EVERYONE
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES, Vocabularies
from recloop.retrieval import Retriever
from training.data.dataset import TrainingSet
from training.data.item_history import ItemHistory
from training.data.requests import sample_requests
from training.stacking.rows import concatenate, example_rows, learn_vocabularies, request_rows

N_DIMENSIONS = 4


def count_encoder(items: NDArray[np.int64], actions: NDArray[np.int64], gaps: NDArray[np.int64]) -> NDArray[np.float32]:
    vectors = np.zeros((len(items), N_DIMENSIONS), dtype=np.float32)
    vectors[:, 0] = (items > 0).sum(axis=1)
    return vectors


@pytest.fixture(scope="module")
def retriever(training_set: TrainingSet) -> Retriever:
    n = len(training_set.items)
    factors = np.random.default_rng(0).normal(size=(n, N_DIMENSIONS)).astype(np.float32)
    return Retriever(
        items=training_set.items, popularity={EVERYONE: np.arange(20)},
        fold_in=FoldIn(factors, regularization=1.0, alpha=2.0), item_vectors=np.ones_like(factors),
        encode=count_encoder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def vocabularies(training_set: TrainingSet) -> Vocabularies:
    return learn_vocabularies(training_set, np.arange(len(training_set.examples)))


def test_vocabularies_are_in_order_and_without_the_unknown(vocabularies: Vocabularies) -> None:
    assert vocabularies.codes["surface"] == {"home": 0, "search": 1}
    assert vocabularies.codes["segment"] == {"group 0": 0, "group 1": 1}
    assert vocabularies.codes["device"] == {}


def test_example_rows_keep_order_and_labels(
    training_set: TrainingSet, retriever: Retriever, vocabularies: Vocabularies
) -> None:
    rows = np.arange(300)
    found = example_rows(training_set, retriever, vocabularies, rows)
    assert found.matrix.shape == (300, len(RANKING_FEATURES))
    np.testing.assert_array_equal(found.labels[Head.CLICK], training_set.examples.labels[Head.CLICK][:300])
    np.testing.assert_array_equal(found.met, ~training_set.examples.sampled[:300])
    lengths = found.matrix[:, RANKING_FEATURES.index("sequence_score")]
    for row in (0, 150, 299):
        assert lengths[row] == len(training_set.user_state(row).recent)


def test_example_rows_are_the_same_however_many_requests_are_taken_at_a_time(
    training_set: TrainingSet, retriever: Retriever, vocabularies: Vocabularies, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(300)
    at_once = example_rows(training_set, retriever, vocabularies, rows)
    assert len(at_once.histories) > 2 * 7
    monkeypatch.setattr("training.stacking.rows.EXAMPLE_BATCH", 7)
    found = example_rows(training_set, retriever, vocabularies, rows)
    np.testing.assert_array_equal(found.matrix, at_once.matrix)
    for own, other in zip(found.histories.parts, at_once.histories.parts, strict=True):
        np.testing.assert_array_equal(own, other)


def test_item_numbers_are_those_of_the_moment(
    training_set: TrainingSet, retriever: Retriever, vocabularies: Vocabularies
) -> None:
    examples = training_set.examples
    rows = np.flatnonzero(~np.isnan(examples.item_as_of_ms))[:50]
    found = example_rows(training_set, retriever, vocabularies, rows)
    days = (examples.times_ms[rows] - examples.item_as_of_ms[rows]) / 86_400_000
    touches = examples.item_numbers[rows, 0] * 0.5 ** (days / 30)
    assert found.matrix[:, RANKING_FEATURES.index("item_touches")] == pytest.approx(touches, rel=1e-5)


def test_request_rows_have_every_known_outcome_among_the_candidates(
    training_set: TrainingSet, retriever: Retriever, vocabularies: Vocabularies
) -> None:
    split = training_set.split
    requests = sample_requests(
        training_set, start_ms=split.stack_ms, end_ms=split.holdout_ms, n_users=10, per_user=2, seed=1
    )
    found = request_rows(training_set, retriever, vocabularies, requests, seed=1)
    again = request_rows(training_set, retriever, vocabularies, requests, seed=1)
    np.testing.assert_array_equal(found.matrix, again.matrix)
    assert not found.met.any()
    assert 0 < found.labels[Head.CLICK].mean() < 1
    liked_and_hidden = found.labels[Head.LIKE] & found.labels[Head.HIDE]
    assert not liked_and_hidden.any()
    history, n_known = ItemHistory(training_set), 0
    for request in requests:
        nominated = retriever.retrieve(request.user, context=request.context).rows
        there, _, _ = history.known(nominated, request.context.time_ms)
        own = (found.user_ids == request.user.user_id) & (found.times_ms == request.context.time_ms)
        known = set(nominated[there].tolist()) & set(request.outcomes[Head.CLICK].tolist())
        assert set(found.moments.items[own][found.labels[Head.CLICK][own] == 1].tolist()) == known
        n_known += len(known)
    assert n_known


def test_concatenated_rows_are_in_time_order(
    training_set: TrainingSet, retriever: Retriever, vocabularies: Vocabularies
) -> None:
    late = example_rows(training_set, retriever, vocabularies, np.arange(200, 260))
    early = example_rows(training_set, retriever, vocabularies, np.arange(60))
    both = concatenate([late, early])
    assert (np.diff(both.times_ms) >= 0).all()
    np.testing.assert_array_equal(both.matrix[:60], early.matrix)
    np.testing.assert_array_equal(both.labels[Head.CLICK][60:], late.labels[Head.CLICK])
