"""What parts are worth to a bundle: what is asked of which rows, and what a part that says nothing loses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.ranker import RANKER_COLUMNS, tree_columns
from recloop.recommender import Recommender
from training.data.dataset import Ints, TrainingSet
from training.judging import parts
from training.judging.heads import judged_rows
from training.judging.parts import GROUPS, part_report, shuffled_matrix
from training.scoring import load_bundle
from training.stacking.rows import example_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recommender(trained: tuple[Path, Any]) -> Recommender:
    return load_bundle(trained[0])


@pytest.fixture(scope="module")
def rows(training_set: TrainingSet) -> Ints:
    found, _ = judged_rows(training_set, training_set.split.holdout_ms, training_set.split.end_ms)
    return found


def test_only_parts_that_the_bundle_has_are_told(
    recommender: Recommender, training_set: TrainingSet, rows: Ints
) -> None:
    columns = recommender.manifest.ranking_features
    there = {name for name, belongs in GROUPS.items() if any(map(belongs, columns))}
    assert "ranker" in there
    assert set(part_report(recommender, training_set, rows, seed=0)) == there


def test_a_part_whose_columns_are_the_same_for_all_rows_loses_nothing(
    recommender: Recommender, training_set: TrainingSet, rows: Ints, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = parts.example_rows

    def constant(*args: Any, **kwargs: Any) -> Any:
        table = whole(*args, **kwargs)
        own = [recommender.manifest.ranking_features.index(name) for name in RANKER_COLUMNS]
        table.matrix[:, own] = 0.0
        return table

    monkeypatch.setattr(parts, "example_rows", constant)
    found = part_report(recommender, training_set, rows, seed=0)
    assert {lost for own in found["ranker"].values() for lost in own.values()} == {0.0}
    assert any(lost != 0.0 for own in found["statistics"].values() for lost in own.values())


def test_the_ranker_reads_the_shuffled_columns_too(
    recommender: Recommender, training_set: TrainingSet, rows: Ints
) -> None:
    table = example_rows(training_set, recommender, recommender.vocabularies, rows)
    names = recommender.manifest.ranking_features
    columns = [place for place, name in enumerate(names) if GROUPS["statistics"](name)]
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = shuffled_matrix(recommender, training_set, table, columns, order)
    others = [place for place in range(len(tree_columns(names))) if place not in columns]
    np.testing.assert_array_equal(shuffled[:, columns], table.matrix[order][:, columns])
    np.testing.assert_array_equal(shuffled[:, others], table.matrix[:, others])
    own = slice(len(tree_columns(names)), None)
    assert not np.allclose(shuffled[:, own], table.matrix[:, own])
    same = shuffled_matrix(recommender, training_set, table, columns, np.arange(len(table)))
    np.testing.assert_allclose(same, table.matrix, atol=1e-5)


def test_rows_are_spread_evenly_and_no_more_than_are_allowed(
    recommender: Recommender, training_set: TrainingSet, rows: Ints, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Ints] = []
    whole = parts.example_rows

    def noted(training_set: TrainingSet, recommender: Recommender, vocabularies: Any, rows: Ints) -> Any:
        asked.append(rows)
        return whole(training_set, recommender, vocabularies, rows)

    monkeypatch.setattr(parts, "example_rows", noted)
    monkeypatch.setattr(parts, "MAX_ROWS", 50)
    part_report(recommender, training_set, rows, seed=0)
    assert len(rows) > 50
    assert 25 <= len(asked[0]) <= 50
    assert len(set(np.diff(np.searchsorted(rows, asked[0])))) == 1


def test_without_rows_there_is_nothing_to_tell(recommender: Recommender, training_set: TrainingSet) -> None:
    assert part_report(recommender, training_set, np.empty(0, dtype=np.int64), seed=0) == {}
