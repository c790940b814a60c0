"""Policy over every DAG, and that the arguments they render are those that the commands take."""

from __future__ import annotations

import ast
import inspect
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from orchestration.callbacks import alert
from orchestration.command import CommandOperator
from orchestration.defaults import OWNER, Tag
from recloop import commands
from recloop.settings import PROJECT_DIR

FOLDER = PROJECT_DIR / "dags"
FILES = sorted(FOLDER.glob("*.py"))
HEAVY = {"pandas", "pyspark", "torch", "mlflow", "feast", "training", "serving", "jobs"}


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> DagBag:
    return DagBag(str(FOLDER))


def every_task(bag: DagBag) -> list[Any]:
    return [task for dag in bag.dags.values() for task in dag.tasks]


def test_every_file_is_one_dag_of_its_name(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert FILES
    assert {path.stem for path in FILES} == set(bag.dags)


def test_no_file_is_named_like_a_package() -> None:
    assert not {path.stem for path in FILES} & {path.name for path in PROJECT_DIR.iterdir() if path.is_dir()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_is_thin(path: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert len(path.read_text().splitlines()) <= 60
    assert imported & HEAVY == set()
    assert imported <= {"__future__", "datetime", "airflow", "orchestration", "recloop"}


def test_every_dag_says_purpose_owner_and_what_to_do(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert all(part in (dag.doc_md or "") for part in ("Purpose", "Owner", "When it is red")), dag.dag_id
        assert dag.description
        assert dag.tags
        assert set(dag.tags) <= set(Tag)
        assert dag.max_active_runs == 1
        assert dag.catchup is False


def test_every_task_has_owner_retries_timeout_and_callback(bag: DagBag) -> None:
    tasks = every_task(bag)
    assert tasks
    for task in tasks:
        assert task.owner == OWNER
        assert task.retries >= (0 if task.task_id == "promote" else 1)
        assert timedelta(0) < task.execution_timeout <= timedelta(hours=2)
        assert alert in (task.on_failure_callback if isinstance(task.on_failure_callback, list | tuple)
                         else [task.on_failure_callback])  # fmt: skip


def test_every_command_comes_from_the_kernel(bag: DagBag) -> None:
    known = {
        tuple(argv(factory)[:3])
        for name, factory in inspect.getmembers(commands, inspect.isfunction)
        if not name.startswith("_") and name not in {"module", "python"}
    }
    assert {tuple(task.argv[:3]) for task in every_task(bag) if isinstance(task, CommandOperator)} <= known


def argv(factory: Any) -> list[str]:
    return list(factory(**dict.fromkeys(inspect.signature(factory).parameters, "x")))


def test_only_training_takes_the_gpu(bag: DagBag) -> None:
    assert [task.task_id for task in every_task(bag) if task.pool == "gpu"] == ["train"]


def test_form_of_training_has_a_title_for_each_field(bag: DagBag) -> None:
    params = bag.dags["train_model"].params
    schemas = {name: params.get_param(name).schema for name in params}
    assert set(schemas) == {"until", "epochs", "device", "promote"}
    assert all(schema.get("title") and params.get_param(name).description for name, schema in schemas.items())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_opens_no_connection_when_it_is_read(path: Path) -> None:
    code = (
        "import socket, runpy, sys\n"
        "def refuse(*_): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = refuse\n"
        f"runpy.run_path({str(path)!r})"
    )
    interpreter = commands.python(commands.Environment.ORCHESTRATION)
    done = subprocess.run([interpreter, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-600:]
