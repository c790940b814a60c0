"""Slates: order, propensities, and that both agree with what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from recloop.errors import ConfigurationError
from recloop.slates import EXPLORATION_POOL, fill, value


def test_without_exploration_the_best_come_first_with_certainty() -> None:
    slate = fill(np.array([0.1, 0.9, 0.5]), k=2, exploration_rate=0.0, generator=np.random.default_rng(0))
    assert [(place.row, place.propensity) for place in slate] == [(1, 1.0), (2, 1.0)]


def test_ties_go_to_the_first_candidate() -> None:
    slate = fill(np.array([1.0, 1.0]), k=2, exploration_rate=0.0, generator=np.random.default_rng(0))
    assert [place.row for place in slate] == [0, 1]


def test_slate_is_no_longer_than_its_candidates() -> None:
    assert len(fill(np.arange(3.0), k=10, exploration_rate=0.5, generator=np.random.default_rng(0))) == 3


def test_no_item_is_shown_twice() -> None:
    slate = fill(np.arange(80.0), k=60, exploration_rate=1.0, generator=np.random.default_rng(0))
    assert len({place.row for place in slate}) == 60


def test_propensity_is_the_frequency_with_which_the_first_place_shows_an_item() -> None:
    values, generator, rate, n = np.arange(4.0), np.random.default_rng(6), 0.4, 20_000
    slates = [fill(values, k=1, exploration_rate=rate, generator=generator)[0] for _ in range(n)]
    for row in range(4):
        expected = (1 - rate) * (row == 3) + rate / 4
        shown = [place.propensity for place in slates if place.row == row]
        assert len(shown) / n == pytest.approx(expected, abs=0.015)
        assert set(np.round(shown, 9)) == {round(expected, 9)}


def test_exploration_stays_in_the_pool() -> None:
    values = np.arange(500.0)
    slates = [fill(values, k=1, exploration_rate=1.0, generator=np.random.default_rng(seed))[0] for seed in range(300)]
    assert min(place.row for place in slates) >= len(values) - EXPLORATION_POOL


def test_value_is_the_weighted_sum() -> None:
    heads = {"click": np.array([0.5, 0.2]), "hide": np.array([0.1, 0.0])}
    assert value(heads, {"click": 1.0, "hide": -2.0}).tolist() == pytest.approx([0.5 - 0.2, 0.2])


def test_weights_for_no_head_of_the_model_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="none in common"):
        value({"click": np.array([0.5])}, {"like": 1.0})
