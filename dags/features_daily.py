"""Compute the batch features of a day and copy them to the online store."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from orchestration.command import CommandOperator
from orchestration.defaults import DEFAULT_ARGS, INTERVAL_END, Tag, at, documentation, interval_start, moment
from recloop import commands

DAY = timedelta(days=1)

with DAG(
    dag_id="features_daily",
    description="Clean events → batch features → online store",
    schedule=at("0 1 * * *", interval=DAY),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=[Tag.FEATURES],
    params={
        "start": moment("Start", "First day; empty: where the last good run ended."),
        "end": moment("End", "Days that end by then; empty: the end of the run's own interval."),
        "as_scheduled": Param(
            False,
            type="boolean",
            title="As scheduled",
            description="For history older than the system: rows count as created when a daily run would have.",
        ),
    },
    doc_md=documentation(
        purpose="Computes what changed per user, item and segment, and materialises it to the online store.",
        red="The last good rows stay in use. Look at the failed expectation's numbers, then clear the task.",
    ),
):
    compute_features = CommandOperator(
        task_id="compute_features",
        argv=commands.compute_features(
            start=interval_start(DAY),
            end=INTERVAL_END,
            as_scheduled="{{ '--as-scheduled' if params.as_scheduled else '' }}",
        ),
    )
    materialize_features = CommandOperator(
        task_id="materialize_features", argv=commands.materialize_features(end=INTERVAL_END)
    )
    compute_features >> materialize_features
