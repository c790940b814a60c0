"""What the demo says when a task fails, a component is silent, or Airflow does not know a DAG."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from demo import clients
from demo.clients import Airflow, Api, DagRunFailed, Registry, TaskResult, answering, attempts, error_of, own_error
from recloop.bundles import Alias
from recloop.errors import ComponentUnavailable
from recloop.settings import Settings
from tests.demo.conftest import Answers

OUTPUT = """promote ended with 1:
2026-11-23 00:46:09 INFO training.promote: judging 301 requests
PromotionRefused: version 3 has ndcg@10 0.3121, champion version 2 has 0.3188.
Look at run 4f2c, or pass --accept-regression with a reason.
26/11/23 00:46:12 WARN ShutdownHookManager: failed to delete a folder"""


def test_error_of_a_command_is_found_between_log_lines() -> None:
    assert own_error(OUTPUT) == (
        "PromotionRefused: version 3 has ndcg@10 0.3121, champion version 2 has 0.3188. "
        "Look at run 4f2c, or pass --accept-regression with a reason."
    )


def test_newest_of_two_errors_counts() -> None:
    assert (
        own_error("SourceError: a.csv line 3\nretry\njava.io.IOException: no space") == "java.io.IOException: no space"
    )


def test_output_without_an_error_ends_with_its_last_lines() -> None:
    assert own_error("train ended with -9:\none\ntwo\nthree") == "one two three"


def test_log_of_a_failed_task_gives_the_exception(tmp_path: Path) -> None:
    log = tmp_path / "attempt=1.log"
    lines = [
        {
            "event": "Task failed with exception",
            "error_detail": [{"exc_type": "AirflowException", "exc_value": OUTPUT}],
        },
        {"event": "::endgroup::"},
    ]
    log.write_text("\n".join(["no json", *map(json.dumps, lines)]))
    assert error_of(log).startswith("PromotionRefused: version 3")


def test_log_of_a_killed_task_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "attempt=1.log").write_text('{"event": "started"}\n')
    assert error_of(tmp_path / "attempt=1.log") == "see its log"


def test_missing_part_of_a_result_names_the_task() -> None:
    with pytest.raises(ComponentUnavailable, match=r"task register \(success\) ended without 'version'"):
        TaskResult("register", "success", {}).require("version")


def test_silent_component_is_named_by_its_address(settings: Settings) -> None:
    with pytest.raises(ComponentUnavailable, match=r"http://127\.0\.0\.1:\d+/v1/release does not answer"), answering():
        Api(settings).serving_version()


def test_error_of_a_component_is_named_with_its_answer(served: Answers) -> None:
    served.say("/v1/release", 500, {"detail": "out of memory"})
    with (
        pytest.raises(ComponentUnavailable, match=r"/v1/release answered 500: .*out of memory"),
        answering(),
    ):
        Api(served.settings).serving_version()


def test_refused_events_are_said_with_the_reason(served: Answers) -> None:
    served.say("/v1/events", 422, {"detail": [{"field": "event_time", "reason": "lies in the future"}]})
    with pytest.raises(ComponentUnavailable, match=r"answered 422: .*lies in the future"):
        Api(served.settings).send([{}])


def test_form_that_airflow_refuses_is_said(served: Answers) -> None:
    served.say("/api/v2/dags/train_model/dagRuns", 422, {"detail": "until is no date-time"})
    with pytest.raises(ComponentUnavailable, match=r"did not start train_model \(422\): .*until is no date-time"):
        Airflow(served.settings).trigger("train_model", {})


def test_failed_run_names_the_task_its_error_and_its_log(served: Answers) -> None:
    folder = served.settings.var_dir / "log/airflow/dag_id=train_model/run_id=r/task_id=promote"
    folder.mkdir(parents=True)
    detail = {"error_detail": [{"exc_value": OUTPUT}]}
    (folder / "attempt=1.log").write_text(json.dumps(detail))
    run = "/api/v2/dags/train_model/dagRuns/r"
    tasks = [
        {"task_id": "promote", "state": "failed", "end_date": "2026-01-01T00:00:02Z"},
        {"task_id": "register", "state": "success", "end_date": "2026-01-01T00:00:01Z"},
    ]
    served.say(run, 200, {"state": "failed"})
    served.say(f"{run}/taskInstances", 200, {"task_instances": tasks})
    served.say(f"{run}/taskInstances/register/xcomEntries/return_value", 200, {"value": {"version": "3"}})
    with pytest.raises(DagRunFailed, match="promote failed: PromotionRefused") as caught:
        Airflow(served.settings).wait("train_model", "r", lambda running: None)
    assert str(folder / "attempt=1.log") in str(caught.value)
    assert caught.value.task_id == "promote"
    assert caught.value.results == [TaskResult("register", "success", {"version": "3"})]


@pytest.mark.stack
def test_registry_says_where_the_alias_points_and_that_it_points_nowhere(mlflow_stack: Settings) -> None:
    from mlflow import MlflowClient

    registry = Registry(mlflow_stack, Alias.CHALLENGER)
    assert registry.version() is None  # nor is there a model
    client = MlflowClient(tracking_uri=mlflow_stack.mlflow, registry_uri=mlflow_stack.mlflow)
    client.create_registered_model(mlflow_stack.model_name)
    assert registry.version() is None
    run = client.create_run("0").info.run_id
    versions = [client.create_model_version(mlflow_stack.model_name, f"runs:/{run}/bundle", run).version for _ in "ab"]
    for version in versions:
        registry.move(str(version))
        assert registry.version() == str(version)


def test_run_keeps_its_id_when_it_is_asked_for_again(served: Answers) -> None:
    path = "/api/v2/dags/train_model/dagRuns"
    served.say(path, 404, {})  # not read yet
    served.say(path, 409, {"detail": "exists"})  # an earlier question arrived after all
    run_id = Airflow(served.settings).trigger("train_model", {"epochs": 1})
    assert [body["dag_run_id"] for _, asked, body in served.asked if asked == path] == [run_id, run_id]


def test_silence_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "POLL_SECONDS", 0.01)
    answers = [httpx.ReadTimeout("busy"), httpx.ConnectError("not up"), httpx.Response(200)]

    def ask() -> httpx.Response:
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    assert clients.patiently(ask).status_code == 200


def test_long_silence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "POLL_SECONDS", 0.01)

    def ask() -> httpx.Response:
        raise httpx.ReadTimeout("busy")

    with pytest.raises(httpx.ReadTimeout):
        clients.patiently(ask)


def test_attempts_end() -> None:
    assert 1 <= len(list(attempts(0.05, every=0.02))) <= 3


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), answering():
        raise ZeroDivisionError
