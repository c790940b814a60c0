"""What stands between the trees' raw probabilities and a head's answer."""

from __future__ import annotations

import numpy as np
import pytest

from recloop.bundled_recommender import calibrated, pooled
from recloop.labels import Head
from recloop.ranker import RANKER_COLUMNS, SHARE


def test_calibration_interpolates_and_clips() -> None:
    curve = calibrated(lambda matrix: matrix[:, 0], {"x": [0.2, 0.4], "y": [0.0, 1.0]})
    assert curve(np.array([[0.1], [0.3], [0.9]], dtype=np.float32)) == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)


def test_ranker_says_its_column_of_the_head_and_the_trees_read_the_others() -> None:
    matrix = np.zeros((1, 2 + len(RANKER_COLUMNS)), dtype=np.float32)
    matrix[0, 1], matrix[0, 2 + RANKER_COLUMNS.index("ranker_like")] = 0.5, 2.0
    found = pooled(lambda own: own[:, 1] if own.shape[1] == 2 else np.full(1, np.nan), Head.LIKE)(matrix)
    # The trees' log-odds are log(0.5 / 0.5) = 0.
    logit = (1 - SHARE) * 0.0 + SHARE * 2.0
    assert found == pytest.approx([1 / (1 + np.exp(-logit))])
