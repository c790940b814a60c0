"""Sequences encoded in batches of like length: each at its own place again, and none padded further than needed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.scoring import by_length


class Encoder:
    """Gives a sequence's sum over all parts and its newest item, and remembers the shapes it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, *parts: NDArray[np.int64]) -> NDArray[np.float32]:
        self.shapes += [part.shape for part in parts[:1]]
        assert len({part.shape for part in parts}) == 1
        both = np.column_stack([np.sum([part.sum(axis=1) for part in parts], axis=0), parts[0][:, -1]])
        return both.astype(np.float32)


def padded(*lengths: int, width: int) -> tuple[NDArray[np.int64], ...]:
    """Return items, actions and gaps: of sequence s items 100 s + 1, 100 s + 2, …, padded on the left."""
    items = np.zeros((len(lengths), width), dtype=np.int64)
    for row, n in enumerate(lengths):
        items[row, width - n :] = 100 * row + np.arange(1, n + 1)
    return items, (items > 0) * 2, (items > 0) * 3


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 64])
def test_every_sequence_gets_its_own_vector_in_its_own_place(batch_size: int) -> None:
    parts = padded(3, 0, 5, 1, 3, width=6)
    expected = Encoder()(*parts)
    assert by_length(Encoder(), batch_size=batch_size)(*parts).tolist() == expected.tolist()


def test_batch_is_as_wide_as_its_longest_sequence() -> None:
    encoder = Encoder()
    by_length(encoder, batch_size=2)(*padded(5, 1, 2, 4, 0, width=6))
    # in order of length: 0 and 1, 2 and 4, 5
    assert encoder.shapes == [(2, 1), (2, 4), (1, 5)]


def test_sequences_without_an_action_keep_one_column() -> None:
    encoder = Encoder()
    by_length(encoder)(*padded(0, 0, width=6))
    assert encoder.shapes == [(2, 1)]


def test_no_sequence_at_all_is_the_encoders_to_answer() -> None:
    encoder = Encoder()
    assert by_length(encoder)(*padded(width=6)).shape == (0, 2)
    assert encoder.shapes == [(0, 6)]
