"""The judgement of a bundle: on requests that do not depend on it, by sums that can be checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from recloop.bundles import Alias, verify
from recloop.errors import ConfigurationError
from recloop.labels import Head
from recloop.metrics import bootstrap_interval
from recloop.settings import Settings
from training.data.dataset import TrainingSet
from training.evaluate import BY_SEGMENT, MODEL, POPULARITY, Evaluation, evaluate, evaluate_bundle, main
from training.register import register
from training.registry import BUNDLE_ARTIFACT, find_bundle
from training.scoring import load_bundle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def evaluation(trained: tuple[Path, Any], folder: Path, quick_settings: Settings) -> Evaluation:
    return evaluate_bundle(trained[0], folder, settings=quick_settings)


def test_bundle_read_again_is_judged_the_same(evaluation: Evaluation, trained: tuple[Path, Any]) -> None:
    assert evaluation.offline == trained[1]["offline"]
    assert evaluation.heads == trained[1]["heads"]
    assert evaluation.head_slices == verify(trained[0]).metrics["slices"]
    # a holdout of so few rows has small slices only, and each is there
    assert evaluation.head_slices["click"]["user=heavy"]["auc"] is None
    assert evaluation.head_slices["click"]["user=heavy"]["rows"] > 0


def test_holdout_without_a_new_like_has_a_note_in_place_of_slates(
    trained: tuple[Path, Any], training_set: TrainingSet, quick_settings: Settings
) -> None:
    split = dataclasses.replace(training_set.split, holdout_ms=training_set.split.end_ms - 1)
    found = evaluate(load_bundle(trained[0]), dataclasses.replace(training_set, split=split), settings=quick_settings)
    assert found.user_ids == []
    assert found.to_dict()["offline"].keys() == {"note"}
    assert found.heads.keys() == set(Head)


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
    assert set(found["heads"]) == {*Head}
    # the log has no long view to learn from, and a consumer finds the head all the same
    assert found["heads"]["long_view"]["auc"] is None
    assert "has no head long_view" in found["heads"]["long_view"]["note"]


def test_report_that_could_not_be_written_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing" / "report.json"
    assert main(["--bundle", str(tmp_path), "--training-set", str(tmp_path), "--report", str(missing)]) == 1
    assert "missing is no folder. Make it first." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "movielens", "--from", "2024-03-01"], "--data, --from and --to go together"),
        (["--training-set", ".", "--to", "2024-03-01"], "--data, --from and --to go together"),
        (["--training-set", ".", "--scores", "s.parquet"], "--scores goes with --data"),
        (["--data", "movielens", "--from", "March", "--to", "2024-03-02"], "expected a date as 2022-05-04"),
        (["--data", "movielens", "--training-set", "."], "not allowed with"),
        ([], "one of the arguments --training-set --data is required"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--bundle", "b", "--report", "r.json", *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_what_is_not_defined_is_null_in_the_report(
    trained: tuple[Path, Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.judging.slates.novelty", lambda *given: float("nan"))
    report = tmp_path / "report.json"
    assert main(["--bundle", str(trained[0]), "--training-set", str(folder), "--report", str(report)]) == 0
    assert json.loads(report.read_text())["offline"]["model"]["novelty_at_10"] is None


@pytest.mark.stack
def test_bundle_may_lie_in_mlflow(
    trained: tuple[Path, Any], folder: Path, mlflow_stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = mlflow_stack.model_copy(update={"model_name": "evaluate-test"})
    run_id = register(trained[0], folder, settings=settings)["run_id"]
    alias = f"models:/{settings.model_name}@{Alias.CHALLENGER}"
    for place, address in enumerate((alias, f"runs:/{run_id}/{BUNDLE_ARTIFACT}")):
        found = find_bundle(address, tmp_path / str(place), settings)
        assert verify(found).bundle_id == trained[1]["bundle_id"]
    monkeypatch.setattr("training.evaluate.load_settings", lambda: settings)
    report = tmp_path / "report.json"
    assert main(["--bundle", alias, "--training-set", str(folder), "--report", str(report)]) == 0
    with pytest.raises(ConfigurationError, match="has no bundle at models:/evaluate-test@nobody"):
        find_bundle("models:/evaluate-test@nobody", tmp_path, settings)


def test_bundle_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing, report = str(tmp_path / "missing"), str(tmp_path / "report.json")
    assert main(["--bundle", missing, "--training-set", str(tmp_path), "--report", report]) == 1
    assert "missing is no folder; expected one that training.train wrote" in capsys.readouterr().err
