"""Next-item: windows, ranks and figures against sums by hand, and that a model learns what follows what."""

from __future__ import annotations

import numpy as np
import pytest

from training.retrieval.item_sequences import ItemSequences
from training.retrieval.next_item import Recipe, fit, make_windows, measure, rank_of, rank_targets, refit


def sequences(*items: list[int], n_items: int = 30) -> ItemSequences:
    users = tuple(str(place) for place in range(len(items)))
    return ItemSequences(users, tuple(str(row) for row in range(n_items)), tuple(np.array(own) for own in items))


def test_each_item_but_the_first_is_a_target_once() -> None:
    windows = make_windows(sequences(list(range(8)), [5], [3, 4]), length=3)
    assert windows.items.tolist() == [[5, 6, 7], [2, 3, 4], [0, 0, 1], [0, 0, 4]]
    assert windows.targets.tolist() == [[6, 7, 8], [3, 4, 5], [0, 0, 2], [0, 0, 5]]
    assert ((windows.actions > 0) == (windows.items > 0)).all()


def test_had_items_do_not_compete_and_ties_count_half() -> None:
    scores = np.array([9.0, 1.0, 5.0, 5.0, 7.0])
    assert rank_of(scores, 2, np.array([0])) == 1.5
    assert rank_of(scores, 2, np.array([0, 3, 4])) == 0
    assert rank_of(scores, 0, np.array([0])) == 0
    assert rank_of(scores, -1, np.array([0])) == np.inf


def test_item_that_training_never_saw_is_no_hit_in_the_smallest_catalogue() -> None:
    assert measure(np.array([rank_of(np.array([1.0, 2.0]), -1, np.array([0]))])) == dict.fromkeys(
        ("hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10"), 0.0
    )


def test_figures_are_the_sums_by_hand() -> None:
    figures = measure(np.array([0.0, 2.0, 7.0, 10.0]))
    assert figures["hr@1"] == 0.25
    assert figures["hr@5"] == 0.5
    assert figures["hr@10"] == 0.75
    assert figures["ndcg@5"] == pytest.approx((1 + 0.5) / 4)
    assert figures["ndcg@10"] == pytest.approx((1 + 0.5 + 1 / np.log2(9)) / 4)


@pytest.mark.slow
def test_model_learns_what_follows_what_and_the_same_seed_learns_the_same() -> None:
    from training.retrieval.sequence_model import Shape

    generator = np.random.default_rng(0)
    # After item i comes i + 1, around a ring.
    ring = [[(int(start) + step) % 30 for step in range(12)] for start in generator.integers(0, 30, 300)]
    data = sequences(*ring)
    recipe = Recipe(Shape(max_length=10), epochs=12)
    runs = [fit(data, recipe, patience=12, seed=1, device="cpu") for _ in range(2)]
    assert [f.ndcg_at_10 for f in runs[0].curve] == pytest.approx([f.ndcg_at_10 for f in runs[1].curve], abs=1e-6)
    targets = np.array([(own[-1] + 1) % 30 for own in ring])
    assert measure(rank_targets(runs[0].model, data, targets))["hr@1"] > 0.9
    again = refit(data, recipe, epochs=runs[0].best.epoch, seed=1, device="cpu")
    assert measure(rank_targets(again, data, targets))["hr@1"] > 0.9


def test_refit_learns_from_the_items_that_chose_the_epoch() -> None:
    from training.retrieval.sequence_model import Shape

    # Only the last step of all goes from 1 to 2.
    data = sequences(*([0, 3, 1, 2] for _ in range(150)), n_items=6)
    recipe = Recipe(Shape(max_length=4, dropout=0.0), epochs=10, learning_rate=1e-2)
    held_back, _ = data.held_back()
    last = np.full(150, 2)
    chosen = fit(data, recipe, patience=10, seed=1, device="cpu")
    again = refit(data, recipe, epochs=10, seed=1, device="cpu")
    assert len(chosen.curve) == 10
    assert rank_targets(again, held_back, last).max() == 0
    assert rank_targets(chosen.model, held_back, last).min() > 0
