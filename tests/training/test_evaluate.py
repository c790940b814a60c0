"""The judgement of a bundle: on requests that do not depend on it, by sums that can be checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recloop.metrics import bootstrap_interval
from recloop.settings import Settings
from training.evaluate import BY_SEGMENT, MODEL, POPULARITY, Evaluation, evaluate_bundle, main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def evaluation(trained: tuple[Path, Any], folder: Path, quick_settings: Settings) -> Evaluation:
    return evaluate_bundle(trained[0], folder, settings=quick_settings)


def test_bundle_read_again_is_judged_the_same(evaluation: Evaluation, trained: tuple[Path, Any]) -> None:
    assert evaluation.offline == trained[1]["offline"]
    assert evaluation.heads == trained[1]["heads"]


def test_per_request_numbers_are_aligned(evaluation: Evaluation, quick_settings: Settings) -> None:
    assert set(evaluation.ndcg) == {MODEL, POPULARITY, BY_SEGMENT}
    n = evaluation.offline["n_requests"]
    assert n == len(evaluation.user_ids) > 50
    assert all(len(values) == n for values in evaluation.ndcg.values())
    difference = evaluation.ndcg[MODEL] - evaluation.ndcg[POPULARITY]
    interval = bootstrap_interval(difference, groups=evaluation.user_ids, seed=quick_settings.seed)
    assert evaluation.offline["ndcg_difference_interval"] == [interval.low, interval.high]
    assert evaluation.offline[MODEL]["ndcg_at_10"] == pytest.approx(evaluation.ndcg[MODEL].mean())


def test_what_is_shown_is_within_its_bounds(evaluation: Evaluation) -> None:
    for name in (MODEL, POPULARITY, BY_SEGMENT):
        shown = evaluation.offline[name]
        assert 10 / 60 <= shown["coverage_at_10"] <= 1  # at least one slate's share of the 60 items
        assert shown["novelty_at_10"] > 0
        assert 0 <= shown["diversity_at_10"] <= 1
    # each user likes one kind of item: what the model shows is more alike than what everyone likes
    assert evaluation.offline[MODEL]["diversity_at_10"] < evaluation.offline[POPULARITY]["diversity_at_10"]


def test_command_writes_the_report(trained: tuple[Path, Any], folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert main(["--bundle", str(trained[0]), "--training-set", str(folder), "--report", str(report)]) == 0
    found = json.loads(report.read_text())
    assert found["offline"]["model"].keys() == found["offline"]["popularity"].keys()
    assert set(found["heads"]) == {"click", "like", "hide"}
