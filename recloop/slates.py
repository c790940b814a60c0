"""Slates: the ordered list that is shown, with the propensity of every place in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloop.errors import ConfigurationError

EXPLORATION_POOL = 50
"""Exploration draws from the best so many candidates left, so that nothing absurd is shown."""


@dataclass(frozen=True)
class Placed:
    """One place of a slate: `row` into the candidates, and the chance that the policy put that one here."""

    row: int
    propensity: float
    explored: bool


def value(heads: dict[str, NDArray[np.floating]], weights: dict[str, float]) -> NDArray[np.float64]:
    """Return the weighted sum of head probabilities, one number per candidate.

    A head without a weight counts nothing; a weight without a head is ignored, since a log may lack that action.

    Raises:
        ConfigurationError: no head has a weight, so nothing would order the slate.
    """
    used = [name for name in heads if weights.get(name)]
    if not used:
        raise ConfigurationError(
            f"the model has heads {sorted(heads)}, RECLOOP_VALUE_WEIGHTS has {weights}: none in common"
        )
    total: NDArray[np.float64] = np.sum(
        [weights[name] * np.asarray(heads[name], dtype=np.float64) for name in used], axis=0
    )
    return total


def fill(
    values: NDArray[np.floating], *, k: int, exploration_rate: float, generator: np.random.Generator
) -> list[Placed]:
    """Fill `k` places: with chance `exploration_rate` a place shows one of the best EXPLORATION_POOL left, uniformly.

    The propensity is exact given the places above it: `(1 - rate) [is the best left] + rate / pool`. Ties go to the
    candidate that comes first. Fewer candidates than `k` give a shorter slate.
    """
    left = list(np.argsort(-np.asarray(values), kind="stable"))
    slate: list[Placed] = []
    while left and len(slate) < k:
        pool = min(EXPLORATION_POOL, len(left))
        explored = bool(generator.random() < exploration_rate)
        place = int(generator.integers(pool)) if explored else 0
        chance = (1 - exploration_rate) * (place == 0) + exploration_rate / pool
        slate.append(Placed(int(left.pop(place)), float(chance), explored))
    return slate
