"""The graph of the job: events.v1 → parse → by user → recent actions; what cannot be parsed → rejects.v1.

In: a Flink environment and Settings. Out: the environment with the graph in it, not yet executed.

The source is a Flink SQL table, because only there does PyFlink hand out a record's partition, offset and timestamp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recloop.settings import Settings
from recloop.tables import Column, Topic

if TYPE_CHECKING:
    from pyflink.datastream import DataStream, StreamExecutionEnvironment
    from pyflink.datastream.connectors.kafka import KafkaSink

GROUP_ID = "recloop-streaming"
REJECT_MAX_BYTES = 3 * 1024 * 1024
JOB_NAME = "update_features"


def build(env: StreamExecutionEnvironment, settings: Settings, *, own_process: bool) -> None:
    """Add the job's graph to `env`. Each operator has an id of its own, by which Flink finds its state again."""
    from pyflink.common import Types

    from jobs.streaming.functions import KEYED_ENTRY, REJECTS, KeepRecentActions, ParseRecords

    parsed = read_events(env, settings).process(ParseRecords(), output_type=KEYED_ENTRY)
    parsed.name("parse events").uid("parse-events")
    (
        parsed.key_by(lambda row: row[0], key_type=Types.STRING())
        .process(KeepRecentActions(own_process=own_process), output_type=Types.BYTE())
        .name("keep recent actions")
        .uid("keep-recent-actions")
    )
    rejects = parsed.get_side_output(REJECTS)
    rejects.sink_to(reject_sink(settings)).name(Topic.REJECTS).uid("write-rejects")


def read_events(env: StreamExecutionEnvironment, settings: Settings) -> DataStream:
    """Return the records of the topic as (payload, partition, offset, timestamp).

    Without a Flink checkpoint it goes on from the group's committed offset, and without one from the oldest record.
    """
    from pyflink.table import StreamTableEnvironment

    tables = StreamTableEnvironment.create(env)
    tables.execute_sql(source_ddl(settings))
    chosen = ", ".join(
        [
            Column.PAYLOAD,
            Column.KAFKA_PARTITION,
            Column.KAFKA_OFFSET,
            f"CAST({Column.INGEST_TIME} AS STRING)",
        ]
    )
    return tables.to_data_stream(tables.sql_query(f"SELECT {chosen} FROM events"))


def source_ddl(settings: Settings) -> str:
    """Return the table over the topic; the raw format takes any bytes, and null for a record without a value."""
    return f"""
        CREATE TEMPORARY TABLE events (
            {Column.PAYLOAD} BYTES,
            {Column.KAFKA_PARTITION} INT METADATA FROM 'partition' VIRTUAL,
            {Column.KAFKA_OFFSET} BIGINT METADATA FROM 'offset' VIRTUAL,
            {Column.INGEST_TIME} TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
        ) WITH (
            'connector' = 'kafka',
            'topic' = '{Topic.EVENTS}',
            'properties.bootstrap.servers' = '{settings.kafka}',
            'properties.group.id' = '{GROUP_ID}',
            'properties.auto.offset.reset' = 'earliest',
            'scan.startup.mode' = 'group-offsets',
            'format' = 'raw'
        )"""


def reject_sink(settings: Settings) -> KafkaSink:
    """Return the sink of rejects; it holds a Flink checkpoint back until Kafka has what came before it."""
    from pyflink.common.serialization import SimpleStringSchema
    from pyflink.datastream.connectors.base import DeliveryGuarantee
    from pyflink.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink

    serializer = (
        KafkaRecordSerializationSchema.builder()
        .set_topic(Topic.REJECTS)
        .set_value_serialization_schema(SimpleStringSchema())
        .build()
    )
    return (
        KafkaSink.builder()
        .set_bootstrap_servers(settings.kafka)
        .set_record_serializer(serializer)
        .set_delivery_guarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .set_property("max.request.size", str(REJECT_MAX_BYTES))
        .build()
    )
