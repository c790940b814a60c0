"""The ranker's columns: how the matrix is taken apart, and that a row's number is its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recloop.extras import ATTRIBUTE
from recloop.histories import Histories
from recloop.ranker import BATCH_ROWS, RANKER_COLUMNS, Ranker, RankerInputs
from recloop.ranking import RANKING_FEATURES, Vocabularies

VOCABULARIES = Vocabularies({f"{ATTRIBUTE}job": {"a": 0, "b": 1}, f"{ATTRIBUTE}age in years": {}})
NAMES = (*RANKING_FEATURES, "for_slate", "attribute_age_in_years", "attribute_job")


def row(**values: float) -> list[float]:
    return [values.get(name, 0.0) for name in NAMES]


def test_codes_begin_at_one_and_what_is_unknown_is_zero() -> None:
    matrix = np.array(
        [
            row(hour=23, surface_code=-1, segment_code=2, attribute_job=1),
            row(surface_code=0, attribute_job=np.nan),
        ],
        dtype=np.float32,
    )
    users, contexts, _ = RankerInputs(NAMES, VOCABULARIES).split(matrix)
    assert users.tolist() == [[3, 1, 1, 2], [1, 1, 1, 0]]  # segment, age group, gender, job
    assert contexts.tolist() == [[24, 0, 1], [1, 1, 1]]  # hour, surface, device


def test_numbers_keep_sign_order_and_what_is_missing() -> None:
    matrix = np.array([row(attribute_age_in_years=value) for value in (-1e6, -0.5, 0, 30, np.nan)], dtype=np.float32)
    _, _, numbers = RankerInputs(NAMES, VOCABULARIES).split(matrix)
    ages = numbers[:, -1]
    assert ages[:4].tolist() == sorted(ages[:4])
    assert ages[3] == pytest.approx(np.log(31))
    assert ages[0] == pytest.approx(-np.log1p(1e6))
    assert np.isnan(ages[4])
    assert numbers.shape[1] == len(NAMES) - 7


def echo(histories: Histories, request: Any, candidate: Any, users: Any, contexts: Any, numbers: Any) -> Any:
    """Answer each row with what it was given."""
    newest = histories.items[request, -1]
    return np.column_stack([newest, candidate, numbers[:, 0], contexts[:, 0]]).astype(np.float32)


def test_each_row_is_scored_with_its_own_history_whatever_is_asked_beside_it() -> None:
    generator = np.random.default_rng(0)
    n, n_requests = 2 * BATCH_ROWS + 17, 300
    lengths = generator.integers(0, 9, n_requests)
    items = np.where(np.arange(9)[None] >= 9 - lengths[:, None], generator.integers(1, 50, (n_requests, 9)), 0)
    histories = Histories(items, items, items, items)
    request, candidates = generator.integers(0, n_requests, n), generator.integers(0, 40, n)
    matrix = np.zeros((n, len(NAMES)), dtype=np.float32)
    matrix[:, 0] = np.arange(n)
    ranker = Ranker(RankerInputs(NAMES, VOCABULARIES), echo)
    found = ranker.columns(matrix, histories, request, candidates)
    np.testing.assert_array_equal(found[:, 0], items[request, -1])
    np.testing.assert_array_equal(found[:, 1], candidates + 1)
    np.testing.assert_allclose(found[:, 2], np.log1p(np.arange(n)), rtol=1e-6)
    alone = ranker.columns(matrix[7:8], histories, request[7:8], candidates[7:8])
    np.testing.assert_array_equal(alone, found[7:8])


def test_no_candidates_give_no_rows() -> None:
    nothing = np.zeros((1, 3), dtype=np.int64)
    empty = np.empty(0, dtype=np.int64)
    ranker = Ranker(RankerInputs(NAMES, VOCABULARIES), echo)
    matrix = np.zeros((0, len(NAMES)), dtype=np.float32)
    found = ranker.columns(matrix, Histories(nothing, nothing, nothing, nothing), empty, empty)
    assert found.shape == (0, len(RANKER_COLUMNS))
