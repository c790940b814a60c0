"""LightGBM heads: which are trained, that they learn, and how they are calibrated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recloop.errors import TrainingError
from recloop.head_metrics import auc
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES, UNKNOWN
from tests.training.plain_rows import without_history
from training.stacking.row_statistics import Moments
from training.stacking.rows import Rows
from training.stacking.stack import fit_curve, train_stack

N_ROWS = 2_000


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Rows whose click follows one feature; likes are too few, long views are none, everything is hidden."""
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(N_ROWS, len(RANKING_FEATURES))).astype(np.float32)
    matrix[:, -6:] = generator.integers(0, 3, size=(N_ROWS, 6))
    chance = 1 / (1 + np.exp(-2 * matrix[:, 0]))
    likes = np.zeros(N_ROWS, dtype=np.int8)
    likes[::50] = 1  # 40 of 2,000: fewer than MIN_POSITIVES
    labels = {
        Head.CLICK: (generator.random(N_ROWS) < chance).astype(np.int8), Head.LIKE: likes,
        Head.LONG_VIEW: np.zeros(N_ROWS, dtype=np.int8), Head.HIDE: np.ones(N_ROWS, dtype=np.int8),
    }  # fmt: skip
    times = np.arange(N_ROWS)
    users, nowhere = (np.full(N_ROWS, value, dtype=object) for value in ("u", None))
    moments = Moments(users, np.zeros(N_ROWS, dtype=np.int64), nowhere, times)
    return Rows(
        matrix,
        labels,
        moments,
        np.full(N_ROWS, {}, dtype=object),
        np.ones(N_ROWS, dtype=bool),
        np.ones(N_ROWS, dtype=bool),
        **without_history(N_ROWS),
    )


def test_heads_without_both_classes_are_left_out_with_the_reason(rows: Rows) -> None:
    stack = train_stack(rows, seed=1)
    assert list(stack.texts) == list(stack.curves) == [Head.CLICK]
    assert stack.skipped[Head.LONG_VIEW] == "has 0 + 0 positives, needs 50 + 1"
    assert stack.skipped[Head.LIKE] == "has 32 + 8 positives, needs 50 + 1"
    assert stack.skipped[Head.HIDE] == "has positives only"


def test_no_head_at_all_is_an_error(rows: Rows) -> None:
    none = {head: np.zeros(N_ROWS, dtype=np.int8) for head in Head}
    with pytest.raises(TrainingError, match=r"no head can be learned: click has 0 \+ 0 positives"):
        train_stack(dataclasses.replace(rows, labels=none), seed=1)


def test_head_finds_the_feature(rows: Rows) -> None:
    import lightgbm

    booster = lightgbm.Booster(model_str=train_stack(rows, seed=1).texts[Head.CLICK])
    assert auc(rows.labels[Head.CLICK], booster.predict(rows.matrix)) > 0.8
    assert np.argmax(booster.feature_importance("gain")) == 0


def test_unknown_categories_are_quiet_and_missing(rows: Rows, capfd: pytest.CaptureFixture[str]) -> None:
    import lightgbm

    unknown = rows.matrix.copy()
    unknown[::3, RANKING_FEATURES.index("surface_code")] = UNKNOWN
    text = train_stack(dataclasses.replace(rows, matrix=unknown), seed=1).texts[Head.CLICK]
    assert "Warning" not in capfd.readouterr().out
    missing = np.where(unknown == UNKNOWN, np.nan, unknown)
    booster = lightgbm.Booster(model_str=text)
    np.testing.assert_array_equal(booster.predict(unknown), booster.predict(missing))


def test_curve_turns_overconfident_outputs_into_probabilities() -> None:
    generator = np.random.default_rng(1)
    logit = generator.normal(size=20_000)
    truth = (generator.random(20_000) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    overconfident = 1 / (1 + np.exp(-3 * logit))
    curve = fit_curve(overconfident, truth)
    calibrated = np.interp(overconfident, curve["x"], curve["y"])
    expected = 1 / (1 + np.exp(-logit))
    assert np.abs(calibrated - expected).mean() < 0.02
    assert np.abs(overconfident - expected).mean() > 0.1


def test_curve_always_rises_and_has_few_points() -> None:
    generator = np.random.default_rng(2)
    upside_down = fit_curve(generator.random(500), np.zeros(500, dtype=np.int8))
    for curve in (upside_down, fit_curve(np.array([0.1, 0.9]), np.array([1, 0], dtype=np.int8))):
        assert len(curve["x"]) == len(curve["y"]) <= 64
        assert (np.diff(curve["x"]) > 0).all()
        assert (np.diff(curve["y"]) >= 0).all()
        assert (curve["x"][0], curve["x"][-1]) == (0.0, 1.0)
