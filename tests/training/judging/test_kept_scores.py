"""Scores that are kept: a stopped run goes on after the last part it finished, another run starts anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES
from tests.training.plain_rows import planted_rows
from training.judging.baselines import Material
from training.judging.kept_scores import KeptScores, Scored

VECTORS = np.zeros((1, 2), dtype=np.float32)


def material() -> Material:
    nothing = cast(Any, None)
    return Material(RANKING_FEATURES, planted_rows(50, 0), planted_rows(20, 1), nothing, nothing, nothing, VECTORS)


def measured() -> Scored:
    # A column of a Fortran-ordered matrix is no array that lies together.
    scores = np.arange(6, dtype=np.float64).reshape(3, 2) / 7
    return {Head.CLICK: [scores[:, 0], scores[:, 1]], Head.LIKE: [scores[:, 1]]}, {"cpu_seconds": 1.5, "columns": 9}


def never() -> Scored:
    raise AssertionError("it was kept")


def test_what_is_kept_is_not_done_anew_and_is_the_same_to_the_bit(tmp_path: Path) -> None:
    KeptScores.of(tmp_path / "kept", material(), (1, "cpu")).scores("ranker, no sequence", measured)
    runs, costs = KeptScores.of(tmp_path / "kept", material(), (1, "cpu")).scores("ranker, no sequence", never)
    expected, spent = measured()
    assert costs == spent
    assert runs.keys() == expected.keys()
    for head, own in expected.items():
        assert len(runs[head]) == len(own)
        for found, scores in zip(runs[head], own, strict=True):
            np.testing.assert_array_equal(found, scores)
            assert found.dtype == scores.dtype


@pytest.mark.parametrize("what", ["learned", "judged", "vectors", "settings"])
def test_another_run_starts_anew(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    KeptScores.of(tmp_path, material(), 1).scores("full", measured)
    changed: dict[str, Any] = {
        "learned": planted_rows(50, 2),
        "judged": planted_rows(20, 1, liked=False),
        "vectors": VECTORS + 1,
    }
    other = replace(material(), **{what: changed[what]}) if what in changed else material()
    kept = KeptScores.of(tmp_path, other, 2 if what == "settings" else 1)
    with pytest.raises(AssertionError, match="it was kept"):
        kept.scores("full", never)
    assert "other data or settings" in caplog.text


def test_without_a_folder_nothing_is_kept() -> None:
    runs, _ = KeptScores().scores("full", measured)
    assert runs.keys() == {Head.CLICK, Head.LIKE}
    with pytest.raises(AssertionError, match="it was kept"):
        KeptScores().scores("full", never)
