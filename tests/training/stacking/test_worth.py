"""What a stage must show to stay."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recloop.labels import Head
from recloop.metrics import Interval
from recloop.ranking import RANKING_FEATURES
from tests.training.plain_rows import without_history
from training.stacking.row_statistics import Moments
from training.stacking.rows import Rows
from training.stacking.stack import Stack, split_rows
from training.stacking.worth import Worth, worth_of

N = 2_000
AS_IT_IS = {"x": [0.0, 1.0], "y": [0.0, 1.0]}


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high)


@pytest.mark.parametrize(
    ("click", "like", "stays"),
    [
        ((0.001, 0.01), (-0.01, 0.02), True),
        ((-0.001, 0.01), (-0.01, 0.02), False),
        ((0.001, 0.01), (-0.02, -0.001), False),
        ((-0.01, -0.001), (-0.01, 0.02), False),
    ],
)
def test_a_stage_stays_that_is_better_somewhere_and_worse_nowhere(
    click: tuple[float, float], like: tuple[float, float], stays: bool
) -> None:
    worth = Worth({"click": {"auc": interval(*click)}, "like": {"gauc": interval(*like)}})
    assert worth.helps is stays
    assert worth.to_dict()["helps"] is stays


def test_a_line_for_the_log_has_every_difference() -> None:
    worth = Worth({"click": {"auc": interval(0.001, 0.003)}, "like": {"gauc": interval(-0.02, 0.01)}})
    assert str(worth) == "click auc +0.0020 [+0.0010, +0.0030], like gauc -0.0050 [-0.0200, +0.0100]"
    assert str(Worth({})) == "nothing to compare"


def make_rows() -> Rows:
    generator = np.random.default_rng(0)
    labels = {head: np.zeros(N, dtype=np.int8) for head in Head}
    labels[Head.CLICK] = generator.integers(0, 2, N).astype(np.int8)
    users = np.array([f"u{place % 50}" for place in range(N)], dtype=object)
    moments = Moments(users, np.zeros(N, dtype=np.int64), np.full(N, None, dtype=object), np.arange(N))
    matrix = np.zeros((N, len(RANKING_FEATURES)), dtype=np.float32)
    ones = np.ones(N, dtype=bool)
    return Rows(matrix, labels, moments, np.full(N, {}, dtype=object), ones, ones, **without_history(N))


def test_the_better_stack_is_told_and_one_against_itself_is_not() -> None:
    rows = make_rows()
    _, validation = split_rows(rows)
    noise = np.random.default_rng(1).uniform(0.2, 0.4, size=len(validation))
    blind = Stack({}, dict.fromkeys(Head, AS_IT_IS), {}, {}, {Head.CLICK: noise, Head.LIKE: noise})
    seeing = dataclasses.replace(blind, checked={Head.CLICK: noise + 0.3 * validation.labels[Head.CLICK]})
    worth = worth_of(seeing, blind, rows, seed=1)
    assert worth.helps
    assert set(worth.differences) == {Head.CLICK}
    assert worth.differences[Head.CLICK]["auc"].low > 0.2
    assert worth.differences[Head.CLICK]["log_loss"].low > 0.1
    assert not worth_of(blind, seeing, rows, seed=1).helps
    assert not worth_of(blind, blind, rows, seed=1).helps


def test_log_loss_is_of_the_calibrated_chances() -> None:
    rows = make_rows()
    _, validation = split_rows(rows)
    chances = np.where(validation.labels[Head.CLICK] > 0, 0.6, 0.4)
    plain = Stack({}, {Head.CLICK: AS_IT_IS}, {}, {}, {Head.CLICK: chances})
    sure = dataclasses.replace(plain, curves={Head.CLICK: {"x": [0.4, 0.6], "y": [0.1, 0.9]}})
    worth = worth_of(sure, plain, rows, seed=1)
    gain = worth.differences[Head.CLICK]
    assert gain["log_loss"].mean == pytest.approx(np.log(0.9) - np.log(0.6))
    assert gain["auc"].mean == 0
    assert worth.helps
