"""Compute the batch features of a day and copy them to the online store."""

from __future__ import annotations

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from orchestration.command import CommandOperator
from orchestration.defaults import DEFAULT_ARGS, INTERVAL_END, INTERVAL_START, START, Tag, documentation
from recloop import commands

with DAG(
    dag_id="features_daily",
    description="Clean events → batch features → online store",
    schedule=CronDataIntervalTimetable("0 1 * * *", timezone="UTC"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=[Tag.FEATURES],
    params={
        "start": Param("", type="string", title="Start", description="RFC 3339; empty: the run's own interval."),
        "end": Param("", type="string", title="End", description="RFC 3339, not included; empty: the interval's."),
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
            start=INTERVAL_START,
            end=INTERVAL_END,
            as_scheduled="{{ '--as-scheduled' if params.as_scheduled else '' }}",
        ),
    )
    materialize_features = CommandOperator(
        task_id="materialize_features", argv=commands.materialize_features(end=INTERVAL_END)
    )
    compute_features >> materialize_features
