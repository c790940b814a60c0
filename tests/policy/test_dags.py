"""Policy over every DAG, and that the arguments they render are those that the commands take."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="the policy over DAGs runs in the orchestration environment")

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import macros

from orchestration.callbacks import alert
from orchestration.command import CommandOperator, given
from orchestration.defaults import OWNER, Tag
from recloop import commands
from recloop.settings import PROJECT_DIR, Environment

FOLDER = PROJECT_DIR / "dags"
FILES = sorted(FOLDER.glob("*.py"))
ALLOWED_IMPORTS = {"__future__", "datetime", "airflow", "orchestration", "recloop", "recloop.settings"}
HEAVY = ("pandas", "pyspark", "torch", "mlflow", "feast", "pyflink", "great_expectations")
TASKS = {
    "ingest_hourly": ["land_catalog", "land_events", "clean_events", "attribute_labels"],
    "features_daily": ["compute_features", "materialize_features"],
    "train_model": ["build_training_set", "train", "register", "promote"],
    "promote_model": ["release_model"],
}
SCHEDULES = {"ingest_hourly": "0 * * * *", "features_daily": "0 1 * * *", "train_model": "0 3 * * 1,4"}
END = datetime(2026, 5, 4, 3, tzinfo=UTC)
AN_HOUR_BEFORE = {
    "data_interval_start": END - timedelta(hours=1),
    "data_interval_end": END,
    "prev_data_interval_end_success": None,
}
FILLED = {
    "ingest_hourly": {"files": "/data/a b", "start": "2022-05-01T00:00:00Z", "end": "2022-05-02T00:00:00Z"},
    "features_daily": {"start": "2022-05-01T00:00:00Z", "end": "2022-05-02T00:00:00Z", "as_scheduled": True},
    "train_model": {
        "until": "2022-05-02T00:00:00Z",
        "epochs": 3,
        "device": "cpu",
        "ranker": "off",
        "fusion": "concat",
        "warm_start": True,
        "promote": True,
    },
    "promote_model": {"version": "3"},
}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(FOLDER))


def every_task(bag: DagBag) -> list[Any]:
    return [task for dag in bag.dags.values() for task in dag.tasks]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def context(dag: Any, **moment: Any) -> dict[str, Any]:
    """Return what a task of a run by hand is rendered with; `moment` adds what only a scheduled run knows."""
    register = SimpleNamespace(xcom_pull=lambda task_ids: {"version": "7"})
    run = SimpleNamespace(run_after=END)
    event = SimpleNamespace(extra={"from_trigger": True, "payload": {"version": "7"}})
    shared = {"ti": register, "dag_run": run, "run_id": "manual__2026-05-04T03:00:00+00:00", "macros": macros}
    return {**shared, "params": dag.params.dump(), "triggering_asset_events": {"champion": [event]}, **moment}


def rendered(dag: Any, values: dict[str, Any]) -> dict[str, list[str]]:
    environment = dag.get_template_env()
    return {task.task_id: given(task.render_template(task.argv, values, environment)) for task in dag.tasks}


def option(argv: list[str], name: str) -> str:
    return argv[argv.index(name) + 1]


def test_every_file_is_one_dag_of_its_name_with_the_tasks_agreed_on(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert {path.stem for path in FILES} == set(bag.dags)
    assert {dag_id: [task.task_id for task in dag.topological_sort()] for dag_id, dag in bag.dags.items()} == TASKS


def test_tasks_of_a_dag_follow_one_another(bag: DagBag) -> None:
    for dag_id, tasks in TASKS.items():
        after = {task.task_id: sorted(task.downstream_task_ids) for task in bag.dags[dag_id].tasks}
        assert after == {task: tasks[i + 1 : i + 2] for i, task in enumerate(tasks)}


def test_no_file_is_named_like_a_package() -> None:
    folders = {path.name for path in PROJECT_DIR.iterdir() if path.is_dir()}
    assert not {path.stem for path in FILES} & (folders | set(HEAVY))


def test_names_are_a_verb_and_an_object_in_lower_case() -> None:
    one_word = {"train", "register", "promote"}  # what they act on is the DAG's: the model
    assert [task for tasks in TASKS.values() for task in tasks
            if task not in one_word and not re.fullmatch(r"[a-z]+(_[a-z]+)+", task)] == []  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_is_thin(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    assert {name if name.startswith("recloop") else name.split(".")[0] for name in imports(path)} <= ALLOWED_IMPORTS
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert ".venv" not in text  # an argv comes from recloop.commands
    assert "python" not in text


def test_every_dag_says_purpose_owner_and_what_to_do(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert all(f"**{part}.**" in (dag.doc_md or "") for part in ("Purpose", "Owner", "When it is red")), dag.dag_id
        assert dag.description
        assert dag.tags
        assert set(dag.tags) <= set(Tag)
        assert dag.max_active_runs == 1
        assert dag.catchup is False


def test_every_task_has_owner_retries_timeout_and_callback(bag: DagBag) -> None:
    tasks = every_task(bag)
    assert tasks
    for task in tasks:
        assert isinstance(task, CommandOperator)
        assert task.owner == OWNER
        assert task.retries >= (0 if task.task_id == "promote" else 1)
        assert timedelta(0) < task.execution_timeout <= timedelta(hours=2)
        assert alert in task.on_failure_callback


def test_schedules_are_those_agreed_on_and_begin_with_the_next_tick(bag: DagBag) -> None:
    for dag_id, cron in SCHEDULES.items():
        dag = bag.dags[dag_id]
        assert (dag.timetable.expression, str(dag.timetable.timezone)) == (cron, "UTC")
        # A start date in the past would set off three heavy DAGs at once on a lake that is still empty.
        assert dag.start_date is None
        assert dag.timetable.run_immediately <= timedelta(minutes=1)


def test_promotion_is_set_off_by_the_alias(bag: DagBag) -> None:
    [asset] = bag.dags["promote_model"].timetable.asset_condition.objects
    [watcher] = asset.watchers
    assert asset.name == "champion"
    assert watcher.trigger.serialize()[1]["alias"] == "champion"


def test_only_training_takes_the_gpu(bag: DagBag) -> None:
    assert [task.task_id for task in every_task(bag) if task.pool == "gpu"] == ["train"]


def test_every_field_of_a_form_has_a_title_and_a_description(bag: DagBag) -> None:
    for dag_id, values in FILLED.items():
        params = bag.dags[dag_id].params
        assert set(params) == set(values)
        for name in params:
            assert params.get_param(name).schema["title"]
            assert params.get_param(name).description


@pytest.mark.parametrize("dag_id", TASKS)
def test_filled_form_reaches_the_commands(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    argv = rendered(dag, context(dag) | {"params": FILLED[dag_id]})
    for task_id, expected in {
        "land_catalog": {"--files": "/data/a b"},
        "land_events": {"--files": "/data/a b", "--start": "2022-05-01T00:00:00Z", "--end": "2022-05-02T00:00:00Z"},
        "build_training_set": {"--until": "2022-05-02T00:00:00Z"},
        "train": {
            "--epochs": "3",
            "--device": "cpu",
            "--ranker": "off",
            "--fusion": "concat",
            "--warm-start": "champion",
        },
        "promote": {"--version": "7"},
        "release_model": {"--version": "3"},
    }.items():
        if task_id in argv:
            assert {name: option(argv[task_id], name) for name in expected} == expected
    assert "--as-scheduled" in argv.get("compute_features", ["--as-scheduled"])


def test_scheduled_hour_is_the_runs_own_interval(bag: DagBag) -> None:
    dag = bag.dags["ingest_hourly"]
    argv = rendered(dag, context(dag, **AN_HOUR_BEFORE))["land_events"]
    assert argv[3:] == ["--start", "2026-05-04T02:00:00+00:00", "--end", "2026-05-04T03:00:00+00:00"]


def test_hour_after_a_failed_one_takes_that_along(bag: DagBag) -> None:
    dag = bag.dags["ingest_hourly"]
    moments = AN_HOUR_BEFORE | {"prev_data_interval_end_success": END - timedelta(hours=5)}
    argv = rendered(dag, context(dag, **moments))["clean_events"]
    assert (option(argv, "--start"), option(argv, "--end")) == (
        "2026-05-03T22:00:00+00:00",
        "2026-05-04T03:00:00+00:00",
    )


def test_later_run_by_hand_does_not_shorten_the_hour(bag: DagBag) -> None:
    dag = bag.dags["ingest_hourly"]
    moments = AN_HOUR_BEFORE | {"prev_data_interval_end_success": END - timedelta(minutes=20)}
    assert option(rendered(dag, context(dag, **moments))["clean_events"], "--start") == "2026-05-04T02:00:00+00:00"


def test_run_by_hand_with_an_empty_form_takes_the_day_before_it(bag: DagBag) -> None:
    dag = bag.dags["features_daily"]
    argv = rendered(dag, context(dag))["compute_features"]
    assert argv[3:] == ["--start", "2026-05-03T03:00:00+00:00", "--end", "2026-05-04T03:00:00+00:00"]


def test_empty_form_leaves_models_to_the_settings(bag: DagBag) -> None:
    dag = bag.dags["train_model"]
    options = {"--epochs", "--device", "--ranker", "--fusion", "--warm-start"}
    assert not options & set(rendered(dag, context(dag))["train"])


def test_moved_alias_names_the_version_to_release(bag: DagBag) -> None:
    dag = bag.dags["promote_model"]
    assert rendered(dag, context(dag))["release_model"][3:] == ["--version", "7"]


def test_every_command_is_one_of_the_kernels(bag: DagBag) -> None:
    known = {
        tuple(factory(**dict.fromkeys(inspect.signature(factory).parameters, "x"))[:3])
        for name, factory in inspect.getmembers(commands, inspect.isfunction)
        if not name.startswith("_") and name not in {"module", "python"}
    }
    assert {tuple(task.argv[:3]) for task in every_task(bag)} <= known


# Parses with the command's own parser, then stops before the work.
PARSE = """
import argparse, importlib, json, sys
parse = argparse.ArgumentParser.parse_args
class Parsed(Exception): pass
def parse_only(self, *arguments):
    parse(self, *arguments)
    raise Parsed
argparse.ArgumentParser.parse_args = parse_only
for name, *options in json.load(sys.stdin):
    try:
        importlib.import_module(name).main(options)
    except Parsed:
        print(name)
"""


@pytest.mark.parametrize("environment", [Environment.CORE, Environment.SERVING])
def test_commands_take_the_arguments_that_are_rendered(bag: DagBag, environment: Environment) -> None:
    runs = [rendered(dag, context(dag) | {"params": FILLED[dag.dag_id]}) for dag in bag.dags.values()]
    runs += [rendered(dag, context(dag, **AN_HOUR_BEFORE)) for dag in bag.dags.values()]
    interpreter = commands.python(environment)
    # Without files there is no catalogue to land: that task is skipped.
    wanted = [argv[2:] for run in runs for argv in run.values() if argv[0] == interpreter and len(argv) > 3]
    assert wanted
    done = subprocess.run(
        [interpreter, "-c", PARSE],
        input=json.dumps(wanted), cwd=PROJECT_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [name for name, *_ in wanted], done.stderr[-600:]


def test_reading_the_dags_is_quick_and_opens_no_connection() -> None:
    code = f"""
import socket, runpy, sys, time
def refuse(*_): raise AssertionError('a connection at import')
socket.socket.connect = refuse
import airflow.sdk, airflow.triggers.base, httpx, numpy, pydantic_settings
start = time.process_time()
for path in {[str(path) for path in FILES]!r}:
    runpy.run_path(path)
assert time.process_time() - start < 3, 'reading the DAGs took longer than 3 s of processor time'
assert not {set(HEAVY)!r} & set(sys.modules), 'a heavy import'
"""
    interpreter = commands.python(Environment.ORCHESTRATION)
    done = subprocess.run([interpreter, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-600:]
