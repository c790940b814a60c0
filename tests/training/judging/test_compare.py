"""What a comparison reports of one run and of two, and what a verdict rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recloop.head_metrics import auc, grouped_auc
from recloop.labels import Head
from tests.training.plain_rows import planted_rows
from training.judging.compare import judge, verdict

ROWS = planted_rows(400, 2)
CLICKS = ROWS.labels[Head.CLICK]
NOISE = np.random.default_rng(7).normal(size=len(CLICKS))
GOOD, BETTER = CLICKS + NOISE, CLICKS + 0.5 * NOISE


def test_numbers_are_of_the_mean_of_the_runs_and_each_run_stands_beside() -> None:
    found = judge(ROWS, Head.CLICK, [GOOD, NOISE], None, seed=1)
    assert found["positives"] == CLICKS.sum()
    assert found["auc"]["value"] == pytest.approx(auc(CLICKS, (GOOD + NOISE) / 2), abs=1e-9)
    assert found["auc"]["per_seed"] == [auc(CLICKS, GOOD), auc(CLICKS, NOISE)]
    assert found["auc"]["spread"] == pytest.approx(auc(CLICKS, GOOD) - auc(CLICKS, NOISE))
    assert "full_less_this" not in found


def test_lead_is_that_of_the_full_stack() -> None:
    found = judge(ROWS, Head.CLICK, [GOOD], [BETTER], seed=1)["full_less_this"]
    for name, metric in (("auc", auc), ("gauc", lambda *given: grouped_auc(*given, ROWS.user_ids))):
        lead = metric(CLICKS, BETTER) - metric(CLICKS, GOOD)
        assert lead > 0.05
        assert found[name]["value"] == pytest.approx(lead, abs=1e-9)
        assert found[name]["per_seed"] == [pytest.approx(lead)]
        assert found[name]["interval"][0] < lead < found[name]["interval"][1]


def test_runs_of_other_number_have_no_lead_per_seed() -> None:
    assert "per_seed" not in judge(ROWS, Head.CLICK, [GOOD], [BETTER, BETTER], seed=1)["full_less_this"]["auc"]


def test_what_is_not_defined_is_none() -> None:
    found = judge(ROWS, Head.HIDE, [GOOD], [BETTER], seed=1)
    assert (found["positives"], found["auc"]["value"], found["auc"]["interval"]) == (0, None, None)
    assert found["full_less_this"]["auc"]["value"] is None


@pytest.mark.parametrize(
    ("intervals", "says"),
    [
        ({("click", "gauc"): [0.001, 0.002]}, "helps"),
        ({("like", "auc"): [0.001, 0.002]}, "helps"),
        ({("click", "auc"): [-0.002, -0.001]}, "switch off"),
        ({("click", "gauc"): [-0.001, 0.002]}, "not told apart"),
        ({("click", "gauc"): [0.001, 0.002], ("like", "gauc"): [-0.002, -0.001]}, "mixed"),
        ({("long_view", "gauc"): [0.001, 0.002]}, "not told apart"),
        ({("click", "gauc"): None}, "not told apart"),
    ],
)
def test_verdict_rests_on_the_intervals_of_clicks_and_likes(intervals: dict[tuple[str, str], Any], says: str) -> None:
    heads = {head: {"full_less_this": {name: {"interval": found}}} for (head, name), found in intervals.items()}
    everything = {head: {"full_less_this": {}} for head in Head} | heads
    assert verdict(everything)["says"] == says


def test_a_part_that_was_added_helps_where_the_full_stack_is_worse() -> None:
    heads = {"click": {"full_less_this": {"auc": {"interval": [-0.002, -0.001]}, "gauc": {"interval": [-0.1, 0.1]}}}}
    assert verdict(heads, added=True) == {"says": "helps", "better_with_it": ["click auc"], "worse_with_it": []}
