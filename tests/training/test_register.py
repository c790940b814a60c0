"""Registering: all of a bundle or nothing becomes a version, and the challenger is the newest. Real registry."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloop.bundles import Alias, BundleFile, seal, verify
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES
from recloop.settings import Settings
from training.register import EXPERIMENT, main, register
from training.registry import MAX_DESCRIPTION, TRAINING_SET_TAG, describe, flat_metrics, open_registry

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def write_bundle(folder: Path, *, card: str = "# Bundle\n", metrics: dict[str, Any] | None = None) -> Path:
    """Write a sealed bundle of a card and two files: what a registry, which only carries it, needs to see."""
    folder.mkdir()
    (folder / BundleFile.MODEL_CARD).write_text(card, encoding="utf-8")
    for file in (BundleFile.POPULARITY, BundleFile.CALIBRATION):
        (folder / file).write_text("{}")
    facts = {
        "bundle_id": f"test-{folder.name}", "ranking_features": RANKING_FEATURES, "heads": (Head.CLICK, Head.HIDE),
        "code_commit": "0" * 40, "data_snapshots": {"lake.clean.events": "42"}, "cf_regularization": 0.1,
        "cf_alpha": 2.0, "metrics": metrics or {},
    }  # fmt: skip
    seal(folder, created_at=datetime(2024, 4, 1, tzinfo=UTC), facts=facts)
    return folder


@pytest.fixture
def settings(mlflow_stack: Settings, request: pytest.FixtureRequest) -> Settings:
    """Settings with a model of the test's own."""
    return mlflow_stack.model_copy(update={"model_name": f"register-{request.node.name[:40]}"})


def versions(settings: Settings) -> list[Any]:
    return list(open_registry(settings).search_model_versions(f"name='{settings.model_name}'"))


def challenger(settings: Settings) -> Any:
    return open_registry(settings).get_model_version_by_alias(settings.model_name, Alias.CHALLENGER)


def test_newest_version_is_the_challenger_and_nobody_the_champion(settings: Settings, tmp_path: Path) -> None:
    reports = [register(write_bundle(tmp_path / name), tmp_path, settings=settings) for name in ("one", "two")]
    assert [report["version"] for report in reports] == ["1", "2"]
    assert (reports[0]["rows_in"], reports[0]["rows_out"]) == (3, 1)
    found = challenger(settings)
    assert (str(found.version), found.run_id, found.tags["bundle_id"]) == ("2", reports[1]["run_id"], "test-two")
    assert open_registry(settings).get_registered_model(settings.model_name).aliases == {Alias.CHALLENGER: "2"}


def test_run_tells_what_the_bundle_was_made_of_and_leaves_out_unknown_numbers(
    settings: Settings, tmp_path: Path
) -> None:
    from mlflow.artifacts import load_dict
    from mlflow.models import ModelSignature

    metrics = {
        "heads": {"click": {"auc": 0.75, "gauc": float("nan")}},
        "offline": {"ndcg_difference_interval": [-1, 2]},
        "slices": {"click": {"item=head": {"auc": 0.7}}},
    }
    report = register(write_bundle(tmp_path / "b", metrics=metrics), tmp_path / "set", settings=settings)
    run = open_registry(settings).get_run(report["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["snapshot.lake.clean.events"] == "42"
    assert (run.data.params["heads"], run.data.params["cf_alpha"]) == ("click,hide", "2.0")
    assert run.data.metrics == {
        "heads.click.auc": 0.75,
        "offline.ndcg_difference_interval.0": -1.0,
        "offline.ndcg_difference_interval.1": 2.0,
    }
    signature = ModelSignature.from_dict(load_dict(f"{run.info.artifact_uri}/signature.json"))
    assert signature.inputs.input_names() == list(RANKING_FEATURES)
    assert signature.outputs.input_names() == ["click", "hide"]


def test_run_tells_what_the_training_of_its_bundle_cost(
    trained: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where no server is asked, MLflow puts artifacts into the current folder.
    monkeypatch.chdir(tmp_path)
    settings = Settings(mlflow_tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    report = register(trained[0], tmp_path, settings=settings)
    logged = open_registry(settings).get_run(report["run_id"]).data.metrics
    costs = {name: verify(trained[0]).metrics[name] for name in ("seconds", "peak_memory_mb", "throughput")}
    assert flat_metrics(costs).items() <= logged.items()
    assert {"seconds.sequence", "peak_memory_mb"} <= logged.keys()
    assert {f"throughput.{model}.samples_per_s" for model in ("transformer", "ranker")} <= logged.keys()


def test_training_set_is_found_from_any_folder(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    register(Path(bundle.name), Path("set"), settings=settings)
    assert challenger(settings).tags[TRAINING_SET_TAG] == str(tmp_path / "set")


def test_card_is_the_version_s_description_as_far_as_it_fits(settings: Settings, tmp_path: Path) -> None:
    card = "# Bundle\n" + "é" * MAX_DESCRIPTION
    register(write_bundle(tmp_path / "b", card=card), tmp_path, settings=settings)
    assert challenger(settings).description == describe(card)


def test_run_that_breaks_off_is_marked_failed_and_makes_no_version(settings: Settings, tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    register(write_bundle(tmp_path / "good"), tmp_path, settings=settings)
    # The registry allows no @ in a metric's name.
    broken = write_bundle(tmp_path / "broken", metrics={"ndcg@10": 0.5})
    with pytest.raises(MlflowException, match="ndcg@10"):
        register(broken, tmp_path, settings=settings)
    client = open_registry(settings)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "attributes.run_name = 'test-broken'")
    assert [run.info.status for run in runs] == ["FAILED"]
    assert [str(version.version) for version in versions(settings)] == ["1"]
    assert str(challenger(settings).version) == "1"


def test_command_ends_with_the_version_as_one_line_of_json(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECLOOP_MODEL_NAME", settings.model_name)
    bundle = write_bundle(tmp_path / "bundle")
    options = ["--bundle", str(bundle), "--training-set", str(tmp_path)]
    assert main(options) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["version"] == "1"
    (bundle / "extra.txt").write_text("x")
    assert main(options) == 1
    assert "extra.txt is in the directory but not in the manifest" in capsys.readouterr().err
    assert len(versions(settings)) == 1
