"""Variants of the trees: which columns each leaves out, and that those are never read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES
from recloop.statistics import BASE_STATISTICS
from tests.training.plain_rows import planted_rows
from training.judging.baselines import Material
from training.judging.tree_variants import FULL, VARIANTS, grow, kept_columns

STATISTIC_COLUMNS = tuple(f"{spec.name}_{what}" for spec in BASE_STATISTICS for what in ("count", *Head))
NAMES = (*RANKING_FEATURES, "for_slate", "attribute_city", *STATISTIC_COLUMNS)
USER_STATISTICS = {
    "exposures_by_user", "exposures_by_user_surface", "interactions_by_user", "interactions_by_user_category",
    "interactions_by_user_author",
}  # fmt: skip


def columns_of(statistics: set[str]) -> set[str]:
    return {f"{name}_{what}" for name in statistics for what in ("count", *Head)}


LEFT_OUT = {
    FULL: set(),
    "no collaborative": {"cf_score"},
    "no sequence": {"sequence_score"},
    "no base models": {"cf_score", "sequence_score"},
    "no statistics": set(STATISTIC_COLUMNS),
    "no statistics of users": columns_of(USER_STATISTICS),
    "no attributes": {"attribute_city"},
    "no taste": {"category_affinity", "category_recent", "author_recent"},
}


def test_every_variant_is_listed_here() -> None:
    assert set(LEFT_OUT) == set(VARIANTS)


@pytest.mark.parametrize("variant", LEFT_OUT)
def test_variant_leaves_out_what_it_says_and_nothing_else(variant: str) -> None:
    assert LEFT_OUT[variant] <= set(NAMES)
    kept = [NAMES[place] for place in kept_columns(NAMES, variant)]
    assert set(NAMES) - set(kept) == LEFT_OUT[variant]
    assert kept == [name for name in NAMES if name in kept]


@pytest.fixture(scope="module")
def material() -> Material:
    return Material(RANKING_FEATURES, planted_rows(2_000, 0), planted_rows(800, 1), *4 * (cast(Any, None),))


def test_columns_left_out_change_no_score(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.stacking.stack.MAX_ROUNDS", 5)
    kept = kept_columns(material.names, "no collaborative")
    before, _ = grow(material, kept, [3])
    judged = material.judged.take(np.arange(len(material.judged)))
    judged.matrix[:, material.names.index("cf_score")] = 7
    after, _ = grow(replace(material, judged=judged), kept, [3])
    np.testing.assert_array_equal(before[Head.CLICK][0], after[Head.CLICK][0])
