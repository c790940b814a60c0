"""What the steps decide: which training counts as refused, which days have features, whether a run goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from demo import steps
from demo.clients import DagRunFailed, TaskResult
from demo.prepared import PreparedData
from demo.report import Report
from demo.steps import Demo
from recloop.settings import Settings
from tests.demo.conftest import Answers

OFFLINE = {"model": {"ndcg_at_10": 0.3}, "popularity": {"ndcg_at_10": 0.2}, "ndcg_difference_interval": [0.05, 0.15]}
TRAINED = [TaskResult("train", "success", {"offline": OFFLINE}), TaskResult("register", "success", {"version": "3"})]


def demo_of(settings: Settings) -> Demo:
    return Demo.build(settings, Console(record=True, width=200), Report(data="d", commit="c"))


class RunsEndIn:
    """Stands for Demo.dag: remembers what was asked, ends as told."""

    def __init__(self, ending: DagRunFailed | None = None) -> None:
        self.ending = ending
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, dag_id: str, conf: dict[str, Any]) -> dict[str, TaskResult]:
        self.asked.append((dag_id, conf))
        if self.ending:
            raise self.ending
        return {result.task_id: result for result in TRAINED}


@pytest.fixture
def demo(settings: Settings) -> Demo:
    return demo_of(settings)


def test_passed_gate_gives_the_offline_metrics(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = RunsEndIn()
    monkeypatch.setattr(demo, "dag", runs)
    assert steps.train(demo, datetime(2026, 5, 1, tzinfo=UTC), form={"epochs": 2}) == "3"
    assert runs.asked == [("train_model", {"until": "2026-05-01T00:00:00.000Z", "promote": True, "epochs": 2})]
    assert demo.report.gate == ["version 3 passed"]
    assert demo.report.offline["champion"] == OFFLINE["model"]


def test_refusing_gate_is_said_and_the_champions_metrics_stay(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = DagRunFailed("promote failed: PromotionRefused: 0.1 < 0.2", task_id="promote", results=TRAINED)
    monkeypatch.setattr(demo, "dag", RunsEndIn(refused))
    demo.report.offline = {"champion": {"ndcg_at_10": 0.5}}
    assert steps.train(demo, datetime(2026, 5, 1, tzinfo=UTC), form={}) == "3"
    assert demo.report.gate == ["version 3 refused"]
    assert demo.report.offline == {"champion": {"ndcg_at_10": 0.5}}
    assert "PromotionRefused: 0.1 < 0.2" in demo.console.export_text()


@pytest.mark.parametrize(
    ("task_id", "message"), [("train", "TrainingError: no rows"), ("promote", "ComponentUnavailable: no registry")]
)
def test_any_other_failure_ends_the_demo(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, task_id: str, message: str
) -> None:
    monkeypatch.setattr(demo, "dag", RunsEndIn(DagRunFailed(message, task_id=task_id, results=TRAINED)))
    with pytest.raises(DagRunFailed, match=message):
        steps.train(demo, datetime(2026, 5, 1, tzinfo=UTC), form={})


def test_features_are_of_whole_days_only(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, now = RunsEndIn(), datetime.now(UTC)
    monkeypatch.setattr(demo, "dag", runs)
    steps.compute_features(demo, now)
    assert runs.asked == []
    steps.compute_features(demo, now - timedelta(days=2))
    (dag_id, conf) = runs.asked[0]
    assert (dag_id, conf["as_scheduled"]) == ("features_daily", True)
    assert conf["start"].endswith("T00:00:00.000Z")
    assert conf["end"] == f"{datetime.now(UTC).date()}T00:00:00.000Z"


def test_second_run_goes_on_from_the_champion(served: Answers, tmp_path: Path) -> None:
    served.say("/api/2.0/mlflow/registered-models/alias", 200, {"model_version": {"version": "4"}})
    data, demo = PreparedData(tmp_path, {}), demo_of(served.settings)
    assert steps.first_model(demo, data) is None
    data.mark_ingested()
    assert steps.first_model(demo, data) == "4"


def test_ingested_history_without_a_champion_is_trained_on_again(served: Answers, tmp_path: Path) -> None:
    data = PreparedData(tmp_path, {})
    data.mark_ingested()
    assert steps.first_model(demo_of(served.settings), data) is None


def test_titles_with_brackets_are_printed_as_they_are(demo: Demo) -> None:
    slate = {"items": [{"item_id": "1", "position": 0, "source": "cf"}]}
    steps.show_slate(demo, "Slate", slate, {"1": {"title": "[bold]Up[/bold]", "categories": ["Drama"]}})
    assert "1. [bold]Up[/bold] (Drama) by cf" in demo.console.export_text()


def test_pages_are_listed_with_the_way_to_log_in(settings: Settings) -> None:
    pages = steps.addresses(settings)
    assert set(pages) == {"API docs", "Airflow UI", "MLflow UI", "Flink UI"}
    assert "RECLOOP_AIRFLOW_PASSWORD" in pages["Airflow UI"]
