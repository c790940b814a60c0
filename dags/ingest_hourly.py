"""Land, clean and label the events of an hour, or of a backfill from files."""

from __future__ import annotations

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from orchestration.command import CommandOperator
from orchestration.defaults import DEFAULT_ARGS, INTERVAL_END, INTERVAL_START, START, Tag, documentation
from recloop import commands

FILES = "{{ params.files }}"

with DAG(
    dag_id="ingest_hourly",
    description="Topic or files → raw, clean and rejected events → labels",
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=[Tag.DATA],
    params={
        "files": Param("", type="string", title="Files", description="Folder to backfill from; empty: the topic."),
        "start": Param("", type="string", title="Start", description="RFC 3339; empty: the run's own interval."),
        "end": Param("", type="string", title="End", description="RFC 3339, not included; empty: the interval's."),
    },
    doc_md=documentation(
        purpose="Lands raw events, validates and cleans them, and joins interactions to impressions.",
        red="A failed expectation publishes nothing: look at `raw.rejected_events`, mend the producer, clear the task.",
    ),
):
    land_catalog = CommandOperator(task_id="land_catalog", argv=commands.land_catalog(files=FILES), only_if=FILES)
    land_events = CommandOperator(
        task_id="land_events",
        argv=commands.land_events(start=INTERVAL_START, end=INTERVAL_END, files=FILES),
        trigger_rule="none_failed",  # without files there is no catalogue to land
    )
    clean_events = CommandOperator(
        task_id="clean_events", argv=commands.clean_events(start=INTERVAL_START, end=INTERVAL_END)
    )
    attribute_labels = CommandOperator(
        task_id="attribute_labels", argv=commands.attribute_labels(start=INTERVAL_START, end=INTERVAL_END)
    )
    land_catalog >> land_events >> clean_events >> attribute_labels
