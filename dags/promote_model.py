"""Make sure that serving runs the version the alias `champion` points at; set off by the alias itself."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from orchestration.alias_trigger import champion_asset
from orchestration.command import CommandOperator
from orchestration.defaults import DEFAULT_ARGS, Tag, documentation, moved_version
from recloop import commands
from recloop.settings import load_settings

with DAG(
    dag_id="promote_model",
    description="Alias moved → serving verifies the bundle and swaps",
    schedule=[champion_asset(load_settings())],
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=[Tag.RELEASE],
    user_defined_macros={"moved_version": moved_version},
    params={"version": Param("", type="string", title="Version", description="Empty: where the alias moved to.")},
    doc_md=documentation(
        purpose="Runs whenever `champion` moves, by DAG, API or hand; waits until serving answers with that version.",
        red="Serving refused the bundle or is down: `GET /v1/release` names the file it refused. Move the alias back.",
    ),
):
    CommandOperator(
        task_id="release_model",
        argv=commands.release_model(version="{{ moved_version(params, triggering_asset_events) }}"),
        execution_timeout=timedelta(minutes=5),
    )
