"""Land, clean and label the events of an hour, or of a backfill from files."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from orchestration.command import CommandOperator
from orchestration.defaults import DEFAULT_ARGS, INTERVAL_END, Tag, at, documentation, interval_start, moment
from recloop import commands

HOUR = timedelta(hours=1)
FILES, START = "{{ params.files }}", interval_start(HOUR)

with DAG(
    dag_id="ingest_hourly",
    description="Topic or files → raw, clean and rejected events → labels",
    schedule=at("0 * * * *", interval=HOUR),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=[Tag.DATA],
    params={
        "files": Param("", type="string", title="Files", description="Folder to backfill from; empty: the topic."),
        "start": moment("Start", "First moment of arrival; empty: where the last good run ended."),
        "end": moment("End", "Not included; empty: the end of the run's own hour."),
    },
    doc_md=documentation(
        purpose="Lands raw events, validates and cleans them, and joins interactions to impressions.",
        red="A failed expectation publishes nothing: look at `raw.rejected_events`, mend the producer, clear the task.",
    ),
):
    land_catalog = CommandOperator(task_id="land_catalog", argv=commands.land_catalog(files=FILES), only_if=FILES)
    land_events = CommandOperator(
        task_id="land_events",
        argv=commands.land_events(start=START, end=INTERVAL_END, files=FILES),
        trigger_rule="none_failed",  # without files there is no catalogue to land
    )
    clean_events = CommandOperator(task_id="clean_events", argv=commands.clean_events(start=START, end=INTERVAL_END))
    attribute_labels = CommandOperator(
        task_id="attribute_labels", argv=commands.attribute_labels(start=START, end=INTERVAL_END)
    )
    land_catalog >> land_events >> clean_events >> attribute_labels
