"""The content tower: what the catalogue says gives an item that nobody touched its vector, and changes no other."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recloop.clock import MS_PER_DAY
from recloop.ranking import ITEM_NUMBER_COLUMNS, Items
from recloop.sequences import ACTION_CODES
from tests.training.synthetic import with_untouched
from training.data.dataset import Interactions, TrainingSet
from training.retrieval.collaborative import CollaborativeModel, train_collaborative
from training.retrieval.content import (
    Targets,
    blend,
    choose_evidence,
    count_users,
    describe_items,
    first_likes,
    make_targets,
    predict_vectors,
    target_places,
    train_content,
)
from training.retrieval.sequence import SequenceResult

KINDS = ("red", "green", "blue")
AS_OF_MS = 100 * MS_PER_DAY


def make_items(n: int = 60, **changed: Any) -> Items:
    """Return items of three kinds in turn, whose author, title, duration and age say nothing."""
    numbers = np.full((n, len(ITEM_NUMBER_COLUMNS)), np.nan)
    numbers[:, ITEM_NUMBER_COLUMNS.index("duration_ms")] = 1_000
    numbers[:, ITEM_NUMBER_COLUMNS.index("published_ms")] = 0
    given = {
        "ids": tuple(f"i{item:02}" for item in range(n)),
        "titles": ("",) * n,
        "categories": tuple((KINDS[item % 3],) for item in range(n)),
        "authors": (None,) * n,
        "numbers": numbers,
        "as_of_ms": AS_OF_MS,
    }
    return Items(**(given | changed))


def columns(items: Items, learned: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return the design as a plain matrix; by default all items were learned."""
    known = np.ones(len(items), dtype=bool) if learned is None else learned
    return np.asarray(describe_items(items, as_of_ms=AS_OF_MS, learned=known).toarray())


def with_items(training_set: TrainingSet, **changed: Any) -> TrainingSet:
    return dataclasses.replace(training_set, items=dataclasses.replace(training_set.items, **changed))


def sequence_of(training_set: TrainingSet, *, seed: int = 1) -> SequenceResult:
    """Return a transformer that was not trained, whose kinds lie apart by hand, the last with the highest bias."""
    import torch

    from training.retrieval.sequence_model import SequenceModel, Shape

    torch.manual_seed(seed)
    n = len(training_set.items)
    model = SequenceModel(n, Shape(n_dimensions=8, n_layers=1)).eval()
    with torch.no_grad():
        for kind in range(3):
            model.items.weight[1:][kind::3, kind] += 1.0
            model.bias[kind::3] = kind
    return SequenceResult(model, [1.0], 1, "cpu", 0)


@pytest.fixture(scope="module")
def untouched(training_set: TrainingSet) -> NDArray[np.bool_]:
    # Three of each kind, among them popular ones.
    return np.isin(np.arange(len(training_set.items)), np.arange(6, 15))


@pytest.fixture(scope="module")
def learned(training_set: TrainingSet, untouched: NDArray[np.bool_]) -> TrainingSet:
    return with_untouched(training_set, untouched)


@pytest.fixture(scope="module")
def models(learned: TrainingSet) -> tuple[CollaborativeModel, SequenceResult]:
    return train_collaborative(learned, seed=1, n_factors=8), sequence_of(learned)


def cosines(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    return one @ other.T / (np.linalg.norm(one, axis=-1, keepdims=True) * np.linalg.norm(other, axis=-1))


def test_an_untouched_item_lands_near_its_category() -> None:
    planted = np.eye(3)[np.arange(60) % 3] + np.random.default_rng(1).normal(0, 0.1, (60, 3))
    weights = np.where(np.arange(60) < 45, 1.0, 0.0)
    planted[45:] = 0.0
    told = predict_vectors(describe_items(make_items(), as_of_ms=AS_OF_MS, learned=weights > 0), planted, weights)
    centres = np.array([planted[:45][np.arange(45) % 3 == kind].mean(axis=0) for kind in range(3)])
    likeness = cosines(told[45:], centres)
    assert (likeness.argmax(axis=1) == np.arange(45, 60) % 3).all()
    assert likeness.max(axis=1).min() > 0.9


def test_both_models_get_vectors_of_the_category_for_what_nobody_touched(
    learned: TrainingSet, models: tuple[CollaborativeModel, SequenceResult], untouched: NDArray[np.bool_]
) -> None:
    content = train_content(learned, *models, seed=1)
    assert not content.counts[untouched].any()
    # Item 7 has no category in the catalogue.
    cold = [row for row in np.flatnonzero(untouched) if row != 7]
    for own in (content.collaborative.factors, content.sequence.item_vectors()[:, :-1]):
        warm = np.flatnonzero(content.counts >= 3)
        centres = np.array([own[warm[warm % 3 == kind]].mean(axis=0) for kind in range(3)])
        likeness = cosines(own[cold] - own[warm].mean(axis=0), centres - own[warm].mean(axis=0))
        assert (likeness.argmax(axis=1) == np.array(cold) % 3).all()
    biases = content.sequence.item_vectors()[cold, -1]
    assert np.abs(biases - np.array(cold) % 3).max() < 0.6


def test_touched_items_keep_their_vectors_where_more_evidence_is_not_asked_for(
    learned: TrainingSet, models: tuple[CollaborativeModel, SequenceResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.retrieval.content.EVIDENCE", (0.0,))
    content = train_content(learned, *models, seed=1)
    warm = content.counts > 0
    assert warm.any()
    assert not warm.all()
    np.testing.assert_array_equal(content.collaborative.factors[warm], models[0].factors[warm])
    np.testing.assert_array_equal(content.sequence.item_vectors()[warm], models[1].item_vectors()[warm])
    assert (content.collaborative.factors[~warm] != models[0].factors[~warm]).any(axis=1).all()


def test_the_models_given_stay_as_they_were(
    learned: TrainingSet, models: tuple[CollaborativeModel, SequenceResult]
) -> None:
    before = models[0].factors.copy(), models[1].item_vectors().copy()
    content = train_content(learned, *models, seed=1)
    assert (content.sequence.item_vectors() != before[1]).any()
    np.testing.assert_array_equal(models[0].factors, before[0])
    np.testing.assert_array_equal(models[1].item_vectors(), before[1])


def test_a_catalogue_without_attributes_changes_nothing(
    learned: TrainingSet, models: tuple[CollaborativeModel, SequenceResult]
) -> None:
    n = len(learned.items)
    numbers = learned.items.numbers.copy()
    numbers[:, [ITEM_NUMBER_COLUMNS.index(name) for name in ("duration_ms", "published_ms")]] = np.nan
    bare = with_items(learned, titles=("",) * n, categories=((),) * n, authors=(None,) * n, numbers=numbers)
    content = train_content(bare, *models, seed=1)
    assert content.evidence is None
    assert content.collaborative is models[0]
    assert content.sequence is models[1]


def test_nothing_learned_and_one_item_alone_change_nothing(
    training_set: TrainingSet, models: tuple[CollaborativeModel, SequenceResult]
) -> None:
    nobody = with_untouched(training_set, np.ones(len(training_set.items), dtype=bool))
    content = train_content(nobody, *models, seed=1)
    assert (content.evidence, content.collaborative) == (None, models[0])
    assert columns(make_items(1)).shape == (1, 0)


def test_what_comes_after_the_base_span_is_no_evidence(training_set: TrainingSet, learned: TrainingSet) -> None:
    late = learned.interactions.times_ms >= learned.split.stack_ms
    assert late.any()
    assert count_users(learned).sum() <= (~late).sum()
    assert (count_users(learned) <= count_users(training_set)).all()


def test_a_user_counts_once_however_often_they_touched_an_item(training_set: TrainingSet) -> None:
    log = Interactions(
        user_ids=("a", "b"), starts=np.array([0, 3, 4]), items=np.array([5, 5, 2, 5]),
        actions=np.ones(4, dtype=np.int64), times_ms=np.zeros(4, dtype=np.int64),
        dwell_ms=np.zeros(4, dtype=np.int64), index={"a": 0, "b": 1},
    )  # fmt: skip
    counts = count_users(dataclasses.replace(training_set, interactions=log))
    assert (counts[5], counts[2], counts.sum()) == (2, 1, 3)


def test_evidence_weighs_own_against_told() -> None:
    own, told = np.full((4, 1), 8.0, dtype=np.float32), np.zeros((4, 1), dtype=np.float32)
    # n / (n + k) of 8 with k = 3: 0, 8 * 1/4, 8 * 3/6, 8 * 9/12
    assert blend(own, told, np.array([0, 1, 3, 9]), 3.0).ravel().tolist() == [0.0, 2.0, 4.0, 6.0]
    assert blend(own, told, np.array([0, 1, 3, 9]), 0.0).ravel().tolist() == [0.0, 8.0, 8.0, 8.0]


def test_evidence_is_chosen_by_where_targets_stand() -> None:
    """Ten users each like one of ten items; vectors that say so are kept, others make way for told ones that do."""
    right, wrong = np.eye(10, dtype=np.float32), np.roll(np.eye(10, dtype=np.float32), 1, axis=0)
    targets = Targets(
        make_items(10),
        np.arange(10),
        [SimpleNamespace()] * 10,
        [np.empty(0, dtype=np.int64)] * 10,  # type: ignore[list-item]
    )
    counts = np.full(10, 5)
    assert choose_evidence(right, right, wrong, counts, targets) == 0.0
    # Of k = 0, 1, 3, 10, … the first with which 5 / (5 + k) of the wrong one is the smaller part
    assert choose_evidence(right, wrong, right, counts, targets) == 10.0
    nobody = dataclasses.replace(targets, items=targets.items[:0], requests=[], seen=[])
    assert choose_evidence(right, wrong, right, counts, nobody) == 0.0


def test_no_evidence_is_chosen_that_loses_what_would_be_nominated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users like items 0 and 1: with k = 30 both are in place 1, with k = 0 one in place 0 and one in 9."""
    own, told = np.zeros((10, 2), dtype=np.float32), np.zeros((10, 2), dtype=np.float32)
    own[0], told[0] = (10, 0), (5, 0)
    own[1], told[1] = (0, -1), (0, 5)
    own[2] = told[2] = (6, 0)
    own[3] = told[3] = (0, 6)
    # With k = 30 item 0 scores 10 * 1/31 + 5 * 30/31 = 5.2, and item 1 -1 * 50/80 + 5 * 30/80 = 1.25.
    counts = np.array([1, 50, 5, 5, 5, 5, 5, 5, 5, 5])
    nothing = np.empty(0, dtype=np.int64)
    targets = Targets(make_items(10), np.array([0, 1]), [SimpleNamespace()] * 2, [nothing] * 2)  # type: ignore[list-item]
    assert choose_evidence(np.eye(2, dtype=np.float32), own, told, counts, targets) == 30.0
    monkeypatch.setattr("training.retrieval.content.N_FIRST", 1)
    assert choose_evidence(np.eye(2, dtype=np.float32), own, told, counts, targets) == 0.0


def test_no_content_vector_is_longer_than_what_was_learned(
    learned: TrainingSet, models: tuple[CollaborativeModel, SequenceResult]
) -> None:
    """Each of five words lengthens a vector; an item of all five would stand above every other by its length alone."""
    n = len(learned.items)
    titles = ["" if row % 2 else f"word{row // 2 % 5}" for row in range(n)]
    lengths = np.array([1.0 if title else 0.1 for title in titles])
    titles[8] = "word0 word1 word2 word3 word4"
    wordy = with_items(learned, titles=tuple(titles), categories=((),) * n)
    factors = np.outer(lengths, np.eye(8)[0]).astype(np.float32)
    content = train_content(wordy, dataclasses.replace(models[0], factors=factors), models[1], seed=1)
    assert not content.counts[8]
    assert np.linalg.norm(content.collaborative.factors[8]) == pytest.approx(1.0)


def test_an_unknown_duration_an_unseen_author_and_an_unseen_word_are_zeros() -> None:
    numbers = make_items().numbers.copy()
    duration = ITEM_NUMBER_COLUMNS.index("duration_ms")
    numbers[:, duration] = np.arange(60) * 1_000
    numbers[59, duration] = np.nan
    authors = [f"author {item % 2}" for item in range(60)]
    titles = ["a song" if item % 2 else "a talk" for item in range(60)]
    authors[59], titles[59] = "nobody met", "unheard"
    items = make_items(numbers=numbers, authors=tuple(authors), titles=tuple(titles), categories=((),) * 60)
    learned = np.arange(60) < 59
    design = columns(items, learned)
    # 2 authors, "song" and "talk" ("a" is in all), 8 bins of duration; one age has no bins to tell apart
    assert design.shape == (60, 2 + 2 + 8)
    assert (design[:59].sum(axis=1) == 3).all()
    assert not design[59].any()
    told = predict_vectors(describe_items(items, as_of_ms=AS_OF_MS, learned=learned), np.ones((60, 2)), 1.0 * learned)
    assert told[59] == pytest.approx([1.0, 1.0], abs=1e-6)


def test_a_name_of_one_learned_item_is_no_column() -> None:
    names = [("both",), ("both",), ("alone",), (), ("alone",), ("unlearned",)]
    items = make_items(6, categories=tuple(names))
    learned = np.array([True, True, True, True, False, False])
    assert columns(items, learned).ravel().tolist() == [1, 1, 0, 0, 0, 0]


def test_only_what_was_liked_at_the_first_meeting_is_a_target(training_set: TrainingSet) -> None:
    view, click = ACTION_CODES["view"], ACTION_CODES["click"]  # type: ignore[index]
    # user a: item 1 viewed and clicked at 5, item 2 viewed at 5 and clicked at 9, item 3 clicked at 2 and 9
    log = Interactions(
        user_ids=("a", "b"), starts=np.array([0, 6, 7]), items=np.array([3, 1, 1, 2, 2, 3, 1]),
        actions=np.array([click, view, click, view, click, click, click]),
        times_ms=np.array([2, 5, 5, 5, 9, 9, 7]), dwell_ms=np.zeros(7, dtype=np.int64), index={"a": 0, "b": 1},
    )  # fmt: skip
    changed = dataclasses.replace(training_set, interactions=log)
    assert first_likes(changed, start_ms=5, end_ms=10).tolist() == [2, 6]
    assert first_likes(changed, start_ms=0, end_ms=7).tolist() == [0, 2]
    targets = make_targets(changed, ["a"], np.array([1]), np.array([5]))
    assert targets.requests[0][0].recent.item_ids == (training_set.items.ids[3],)
    assert targets.seen[0].tolist() == [3]


def test_a_place_counts_what_scores_higher_and_half_of_what_ties() -> None:
    vectors = np.array([[4.0], [3.0], [2.0], [2.0], [1.0]], dtype=np.float32)
    users = np.ones((2, 1), dtype=np.float32)
    nothing = np.empty(0, dtype=np.int64)
    targets = Targets(make_items(5), np.array([2, 2]), [SimpleNamespace()] * 2, [nothing, np.array([0, 3])])  # type: ignore[list-item]
    # item 2 of the first user: above are 0 and 1, beside is 3; of the second 0 and 3 are out: above is 1
    assert target_places(users, vectors, targets).tolist() == [2.5, 1.0]
