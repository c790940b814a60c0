"""Make sure that serving runs the version the alias `champion` points at; set off by the alias itself."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetWatcher, Param

from orchestration.alias_trigger import RegistryAliasTrigger
from orchestration.command import CommandOperator
from orchestration.defaults import DEFAULT_ARGS, START, Tag, documentation, moved_version
from recloop import commands
from recloop.settings import load_settings

settings = load_settings()
CHAMPION = "champion"
watcher = AssetWatcher(
    name="champion_moved",
    trigger=RegistryAliasTrigger(registry=settings.mlflow, model=settings.model_name, alias=CHAMPION),
)

with DAG(
    dag_id="promote_model",
    description="Alias moved → serving verifies the bundle and swaps",
    schedule=[Asset(CHAMPION, watchers=[watcher])],
    start_date=START,
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
