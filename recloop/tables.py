"""Names that several stages write: columns, tables of the lake, topics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CATALOG = "lake"
"""Name of the Iceberg catalogue, the same for Spark and pyiceberg."""


class Topic(StrEnum):
    """Kafka topics; the suffix is the version of the payload."""

    EVENTS = "events.v1"
    REJECTS = "rejects.v1"


class Column(StrEnum):
    """Every column name, stated once."""

    # events
    EVENT_ID = "event_id"
    EVENT_TIME = "event_time"
    EVENT_DATE = "event_date"
    INGEST_TIME = "ingest_time"
    INGEST_DATE = "ingest_date"
    ACTION = "action"
    USER_ID = "user_id"
    ITEM_ID = "item_id"
    SLATE_ID = "slate_id"
    POSITION = "position"
    PROPENSITY = "propensity"
    MODEL_VERSION = "model_version"
    DWELL_MS = "dwell_ms"
    DURATION_MS = "duration_ms"
    SURFACE = "surface"
    DEVICE = "device"
    # raw and rejected events
    PAYLOAD = "payload"
    ORIGIN = "origin"
    KAFKA_PARTITION = "kafka_partition"
    KAFKA_OFFSET = "kafka_offset"
    FIELD = "field"
    REASON = "reason"
    # labels
    LABEL_ID = "label_id"
    CLICK = "click"
    LONG_VIEW = "long_view"
    LIKE = "like"
    HIDE = "hide"
    KNOWN_AT = "known_at"
    # catalogue
    TITLE = "title"
    CATEGORIES = "categories"
    AUTHOR_ID = "author_id"
    PUBLISHED_AT = "published_at"
    SEGMENT = "segment"
    AGE_GROUP = "age_group"
    GENDER = "gender"
    ATTRIBUTES = "attributes"
    UPDATED_AT = "updated_at"
    # feature tables
    FEATURE_TIME = "feature_time"
    CREATED_AT = "created_at"
    # training sets
    SAMPLED = "sampled"


class Origin(StrEnum):
    """Where a label comes from."""

    IMPRESSION = "impression"
    ORGANIC = "organic"


@dataclass(frozen=True)
class Table:
    """One table of the lake: `name` is `namespace.table`; `columns` maps a column to its Spark type, in order."""

    name: str
    columns: dict[str, str]
    partitioned_by: str | None = None

    @property
    def full_name(self) -> str:
        """Name with the catalogue, as Spark and Feast read it."""
        return f"{CATALOG}.{self.name}"

    @property
    def ddl(self) -> str:
        """Column list of a CREATE TABLE.

        >>> Table("raw.x", {"payload": "binary", "origin": "string"}).ddl
        'payload binary, origin string'
        """
        return ", ".join(f"{column} {kind}" for column, kind in self.columns.items())


_RAW: dict[str, str] = {
    Column.PAYLOAD: "binary",
    Column.ORIGIN: "string",
    Column.KAFKA_PARTITION: "int",
    Column.KAFKA_OFFSET: "bigint",
    Column.INGEST_TIME: "timestamp",
    Column.INGEST_DATE: "date",
}
_CONTEXT: dict[str, str] = {
    Column.SLATE_ID: "string",
    Column.POSITION: "int",
    Column.PROPENSITY: "double",
    Column.MODEL_VERSION: "string",
    Column.SURFACE: "string",
    Column.DEVICE: "string",
}

RAW_EVENTS = Table("raw.events", _RAW, Column.INGEST_DATE)
REJECTED_EVENTS = Table(
    "raw.rejected_events", {**_RAW, Column.FIELD: "string", Column.REASON: "string"}, Column.INGEST_DATE
)
CLEAN_EVENTS = Table(
    "clean.events",
    {
        Column.EVENT_ID: "string",
        Column.EVENT_TIME: "timestamp",
        Column.EVENT_DATE: "date",
        Column.INGEST_TIME: "timestamp",
        Column.ACTION: "string",
        Column.USER_ID: "string",
        Column.ITEM_ID: "string",
        **_CONTEXT,
        Column.DWELL_MS: "bigint",
        Column.DURATION_MS: "bigint",
    },
    Column.EVENT_DATE,
)
LABELS = Table(
    "clean.labels",
    {
        Column.LABEL_ID: "string",
        Column.ORIGIN: "string",
        Column.EVENT_TIME: "timestamp",
        Column.EVENT_DATE: "date",
        Column.USER_ID: "string",
        Column.ITEM_ID: "string",
        **_CONTEXT,
        Column.CLICK: "int",
        Column.LONG_VIEW: "int",
        Column.LIKE: "int",
        Column.HIDE: "int",
        Column.KNOWN_AT: "timestamp",
    },
    Column.EVENT_DATE,
)
ITEMS = Table(
    "catalog.items",
    {
        Column.ITEM_ID: "string",
        Column.TITLE: "string",
        Column.CATEGORIES: "array<string>",
        Column.AUTHOR_ID: "string",
        Column.DURATION_MS: "bigint",
        Column.PUBLISHED_AT: "timestamp",
        Column.ATTRIBUTES: "map<string,string>",
        Column.UPDATED_AT: "timestamp",
        Column.CREATED_AT: "timestamp",
    },
)
USERS = Table(
    "catalog.users",
    {
        Column.USER_ID: "string",
        Column.SEGMENT: "string",
        Column.AGE_GROUP: "string",
        Column.GENDER: "string",
        Column.ATTRIBUTES: "map<string,string>",
        Column.UPDATED_AT: "timestamp",
        Column.CREATED_AT: "timestamp",
    },
)
