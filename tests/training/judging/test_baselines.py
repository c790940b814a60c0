"""Baselines on numbers small enough to work out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from recloop.clock import MS_PER_DAY
from recloop.head_metrics import auc
from recloop.labels import Head
from recloop.ranking import Items
from recloop.sequences import ACTION_CODES
from recloop.statistics import BASE_STATISTICS
from tests.training.plain_rows import without_history
from tests.training.stacking.test_row_statistics import asked, made_up
from training.data.dataset import Exposures, Interactions
from training.judging.baselines import (
    BASELINES,
    SEGMENT_PRIOR,
    Material,
    als_alone,
    fit_logistic,
    item_knn,
    log_baselines,
    log_odds,
    logistic_regression,
    popularity,
    popularity_by_segment,
    standardised,
)
from training.stacking.row_statistics import Moments, RowStatistics
from training.stacking.rows import Rows

NOW_MS = 10 * MS_PER_DAY
COLUMNS = ("exposures_by_item_click", "exposures_by_user_click", "exposures_by_surface_click", "cf_score")


def rows(matrix: Any, *, users: list[str], items: list[int], clicks: list[int] | None = None) -> Rows:
    n = len(items)
    moments = Moments(
        np.array(users, dtype=object), np.array(items), np.full(n, "home", dtype=object), np.full(n, NOW_MS)
    )
    labels = {head: np.array(clicks or [0] * n, dtype=np.int8) for head in Head}
    return Rows(
        np.array(matrix, dtype=np.float32), labels, moments, np.full(n, {}, dtype=object), np.ones(n, dtype=bool),
        np.ones(n, dtype=bool), **without_history(n),
    )  # fmt: skip


def material(
    judged: Rows, names: tuple[str, ...] = COLUMNS, *, history: Any = None, learned: Rows | None = None
) -> Material:
    statistics = SimpleNamespace(means={"exposures": [0.2] * len(Head)}, until_ms=NOW_MS)
    extras = cast(Any, SimpleNamespace(statistics=statistics))
    return Material(names, learned or judged, judged, history, extras, *2 * (cast(Any, None),))


def log(done: dict[str, list[tuple[int, str, int]]]) -> Interactions:
    """Return a log of (item, action, time) per user."""
    flat = [row for own in done.values() for row in own]
    return Interactions(
        tuple(done), np.cumsum([0, *map(len, done.values())]), np.array([row[0] for row in flat]),
        np.array([ACTION_CODES[row[1]] for row in flat]), np.array([row[2] for row in flat]),  # type: ignore[index]
        np.zeros(len(flat), dtype=np.int64), {user: place for place, user in enumerate(done)},
    )  # fmt: skip


def catalogue(n: int) -> Items:
    return Items(tuple(f"i{row}" for row in range(n)), ("",) * n, ((),) * n, (None,) * n, np.full((n, 9), np.nan), 0)


def test_popularity_is_the_rate_of_the_item() -> None:
    judged = rows([[0.3, 0, 0, 0], [-0.1, 0, 0, 0]], users=["a", "a"], items=[0, 1])
    assert popularity(material(judged), [Head.CLICK])[Head.CLICK] == pytest.approx([0.3, -0.1])


def test_popularity_by_segment_leans_on_everyone_until_the_segment_is_known() -> None:
    shown = Exposures(
        np.array(["a"] * 4 + ["b"] * 4, dtype=object), np.zeros(8, dtype=np.int64), np.arange(8), np.arange(8),
        np.full(8, "home", dtype=object), {head: np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=np.int8) for head in Head},
    )  # fmt: skip
    users = {"a": {"segment": "eager"}, "b": {"segment": "idle"}, "c": {"segment": "new"}}
    history = SimpleNamespace(interactions=log({"a": [(0, "click", 1)]}), exposures=shown, users=users,
                              items=catalogue(1))  # fmt: skip
    judged = rows([[0.1, 0, 0, 0]] * 3, users=["a", "b", "c"], items=[0, 0, 0])
    found = popularity_by_segment(material(judged, history=history), [Head.CLICK])[Head.CLICK]
    # mean 3/8; everyone's rate is 3/8 + 0.1; eager 3 of 4, idle 0 of 4, new has none
    everyone = 3 / 8 + 0.1
    chances = [(3 + SEGMENT_PRIOR * everyone) / (4 + SEGMENT_PRIOR), SEGMENT_PRIOR * everyone / (4 + SEGMENT_PRIOR)]
    assert found == pytest.approx([chances[0] - 3 / 8, chances[1] - 3 / 8, 0.1], abs=1e-6)


def test_log_odds_add_up() -> None:
    judged = rows([[0.3, -0.1, 0.0, 0]], users=["a"], items=[0])
    # chances 0.5, 0.1 and 0.2, of which the log-odds are 0, ln 1/9 and ln 1/4
    found = log_odds(material(judged), [Head.CLICK])[Head.CLICK]
    assert found == pytest.approx([np.log(1 / 9) + np.log(1 / 4)], rel=1e-5)


def test_item_knn_adds_the_cosines_with_what_the_user_did_before() -> None:
    history = SimpleNamespace(
        items=catalogue(4),
        interactions=log({
            "a": [(0, "click", 1), (1, "click", 2)],
            "b": [(0, "click", 1), (1, "click", 2), (2, "click", 3)],
            "c": [(2, "click", 1)],
            "d": [(1, "hide", NOW_MS - 2), (0, "click", NOW_MS - 1), (2, "click", NOW_MS + 1)],
        }),
    )  # fmt: skip
    judged = rows([[0] * 4] * 4, users=["d", "d", "d", "nobody"], items=[1, 2, 0, 1])
    found = item_knn(material(judged, history=history), [Head.CLICK, Head.LIKE])
    # item 0 was clicked by a, b, d, item 1 by a, b, item 2 by b, c; d clicked 0, and 2 only later; the hide is no taste
    expected = [2 / np.sqrt(3 * 2), 1 / np.sqrt(3 * 2), 0.0, 0.0]
    assert found[Head.CLICK] == pytest.approx(expected)
    assert found[Head.LIKE] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["popularity", "popularity_by_segment", "log_odds"])
def test_what_a_log_tells_is_scored_as_with_a_whole_stack_beside(name: str) -> None:
    history, moments, n = made_up(), asked(), 60
    history.split = SimpleNamespace(holdout_ms=6 * MS_PER_DAY)
    moments.times_ms[:] = np.maximum(moments.times_ms, history.split.holdout_ms)
    counted = RowStatistics(history)
    scores = {"cf_score": np.arange(n) * 1.0, "sequence_score": np.arange(n) * -1.0}
    found = log_baselines(history, counted, moments, scores)
    statistics = counted.table(until_ms=history.split.holdout_ms, specs=BASE_STATISTICS)
    judged = Rows(
        counted.columns(moments, statistics), {}, moments, np.full(n, {}, dtype=object), np.ones(n, dtype=bool),
        np.ones(n, dtype=bool), **without_history(n),
    )  # fmt: skip
    extras = cast(Any, SimpleNamespace(statistics=statistics))
    whole = Material(statistics.names, judged, judged, history, extras, *2 * (cast(Any, None),))
    same = {"popularity": popularity, "popularity_by_segment": popularity_by_segment, "log_odds": log_odds}[name]
    for head, expected in same(whole, [*Head]).items():
        assert len(set(expected)) > 5
        np.testing.assert_allclose(found[name][head], expected, rtol=1e-6)
    assert found["als"][Head.CLICK].tolist() == scores["cf_score"].tolist()
    assert found["transformer"][Head.HIDE].tolist() == scores["sequence_score"].tolist()


def test_log_that_showed_nothing_before_the_holdout_tells_nothing() -> None:
    history = made_up()
    history.split = SimpleNamespace(holdout_ms=0)
    scores = dict.fromkeys(("cf_score", "sequence_score"), np.zeros(60))
    assert log_baselines(history, RowStatistics(history), asked(), scores).keys() == {"als", "transformer"}


def test_item_that_a_model_lacks_scores_lowest() -> None:
    judged = rows([[0, 0, 0, 0.5], [0, 0, 0, np.nan], [0, 0, 0, -2.0]], users=["a"] * 3, items=[0, 1, 2])
    assert np.argsort(als_alone(material(judged), [Head.CLICK])[Head.CLICK]).tolist() == [1, 2, 0]


def test_columns_are_scaled_by_what_is_learned_from() -> None:
    learned, judged = np.array([[1, 0, 5], [3, 1, 5]]), np.array([[2, 1, 5], [np.nan, 7, 5], [400, -1, 5]])
    names = ("item_touches", "surface_code", "constant")
    found = standardised(learned.astype(np.float32), judged.astype(np.float32), names)
    # ones, (x - 2) / 1 cut at 5, is it 0, is it 1; the constant tells nothing
    assert found[0].tolist() == [[1, -1, 1, 0], [1, 1, 0, 1]]
    assert found[1].tolist() == [[1, 0, 0, 1], [1, 0, 0, 0], [1, 5, 0, 0]]


def test_logistic_regression_finds_the_weights() -> None:
    generator = np.random.default_rng(0)
    design = np.column_stack([np.ones(40_000), generator.normal(size=(40_000, 2))])
    true = np.array([-2.0, 1.0, -0.5])
    labels = (generator.random(40_000) < 1 / (1 + np.exp(-design @ true))).astype(np.int8)
    assert fit_logistic(design, labels) == pytest.approx(true, abs=0.06)


def test_logistic_regression_orders_later_rows() -> None:
    generator = np.random.default_rng(1)
    telling, noise = generator.normal(size=(2, 600))
    clicks = (telling + noise > 0).astype(int).tolist()
    names = ("item_touches", "item_popularity")
    whole = rows(np.column_stack([telling, generator.normal(size=600)]), users=["a"] * 600, items=[0] * 600,
                 clicks=clicks)  # fmt: skip
    learned, judged = whole.take(np.arange(400)), whole.take(np.arange(400, 600))
    found = logistic_regression(material(judged, names, learned=learned), [Head.CLICK])[Head.CLICK]
    assert auc(judged.labels[Head.CLICK], found) == pytest.approx(auc(clicks[400:], telling[400:]), abs=0.02)


def test_every_baseline_says_what_it_does() -> None:
    assert len(BASELINES) == 7
    assert all(baseline.__doc__ for baseline in BASELINES.values())
