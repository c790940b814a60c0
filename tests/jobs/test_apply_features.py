"""The registry comes in line with the definitions, whatever it held before; the process is left as it was."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.etl.apply_features import apply, main
from jobs.etl.feature_store import open_feature_store
from recloop.features import FEATURE_SERVICES, FEATURE_VIEWS
from recloop.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

VIEWS = sorted(view.name for view in FEATURE_VIEWS)
SERVICES = sorted(service.name for service in FEATURE_SERVICES)


def test_printed_environment_is_read_by_a_shell_as_it_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    password = "it's $HOME; `exit`"
    monkeypatch.setenv("RECLOOP_ENV_FILE", str(tmp_path / "none.env"))
    monkeypatch.setenv("RECLOOP_REDIS_ADDRESS", "redis.example:6379")
    monkeypatch.setenv("RECLOOP_REDIS_PASSWORD", password)
    assert main(["--print-environment"]) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert {command for command, _ in lines} == {"export"}
    variables = dict(assignment.split("=", 1) for _, assignment in lines)
    assert json.loads(variables["RECLOOP_FEAST_ONLINE"]) == f"redis.example:6379,password={password}"
    assert variables.keys() >= {"RECLOOP_FEAST_REGISTRY", "RECLOOP_FEAST_SPARK_CONF"}


@pytest.mark.spark
@pytest.mark.stack
class TestApply:
    def test_first_application_makes_the_tables_and_names_all_there_is(
        self, empty_lake: SparkSession, base_stack: Settings
    ) -> None:
        outcome = apply(empty_lake, base_stack)
        assert outcome.details == {"views": VIEWS, "services": SERVICES}
        assert outcome.rows_in == outcome.rows_out == len(VIEWS) + len(SERVICES)
        for view in FEATURE_VIEWS:
            assert empty_lake.table(view.table.full_name).columns == [str(name) for name in view.table.columns]

    def test_view_that_is_defined_no_more_leaves_the_registry(
        self, empty_lake: SparkSession, base_stack: Settings
    ) -> None:
        from feast import FeatureView, Field
        from feast.types import Float32

        apply(empty_lake, base_stack)
        store = open_feature_store(base_stack)
        known = store.get_feature_view(VIEWS[0])
        field = Field(name="forgotten", dtype=Float32)
        old = FeatureView(name="old", entities=[store.get_entity("user")], schema=[field], source=known.batch_source)
        store.apply([old])
        assert "old" in {view.name for view in store.list_feature_views()}
        assert apply(empty_lake, base_stack).details["views"] == VIEWS

    def test_process_keeps_its_folder_and_its_import_path(
        self, empty_lake: SparkSession, base_stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        before = list(sys.path)
        apply(empty_lake, base_stack)
        assert Path(os.getcwd()) == tmp_path
        assert sys.path == before
