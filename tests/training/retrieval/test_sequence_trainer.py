"""How windows come together in mini-batches."""

from __future__ import annotations

import numpy as np

from training.retrieval.sequence_trainer import like_lengths

LENGTHS = np.random.default_rng(0).integers(1, 101, size=500)


def test_every_window_comes_once_and_only_one_batch_is_short() -> None:
    batches = like_lengths(LENGTHS, 32, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert sorted(map(len, batches)) == [500 % 32, *15 * [32]]


def test_lengths_of_a_batch_are_alike_and_batches_come_in_any_order() -> None:
    batches = like_lengths(LENGTHS, 32, np.random.default_rng(1))
    assert max(np.ptp(LENGTHS[batch]) for batch in batches) < 15
    longest = [LENGTHS[batch].max() for batch in batches]
    assert longest != sorted(longest)


def test_which_come_together_is_by_chance() -> None:
    first, second = (like_lengths(LENGTHS, 32, np.random.default_rng(seed)) for seed in (1, 2))
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
