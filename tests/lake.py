"""What tests of the lake share: a Spark session on the test stack, random logs, an empty lake."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from recloop.events import Action, Event
from recloop.features import FEATURE_VIEWS
from recloop.tables import CLEAN_EVENTS, ITEMS, LABELS, RAW_EVENTS, REJECTED_EVENTS, USERS, Column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TABLES = (RAW_EVENTS, REJECTED_EVENTS, CLEAN_EVENTS, LABELS, ITEMS, USERS, *(view.table for view in FEATURE_VIEWS))
DAY_0 = datetime(2022, 5, 1, tzinfo=UTC)


def drop_tables(spark: SparkSession) -> None:
    for table in TABLES:
        spark.sql(f"DROP TABLE IF EXISTS {table.full_name} PURGE")


def event(
    event_id: str, action: Action | str, *, at: datetime = DAY_0, user: str = "u", item: str = "i", **more: Any
) -> Event:
    return Event(event_id=event_id, event_time=at, action=Action(action), user_id=user, item_id=item, **more)


def random_log(seed: int, *, n_events: int, n_users: int = 5, n_items: int = 6, days: int = 6) -> list[Event]:
    """Return events with many ties: minutes as the grain of time, few users, items and slates."""
    draw = random.Random(seed)
    events = []
    for number in range(n_events):
        action = draw.choice([*Action, Action.IMPRESSION, Action.IMPRESSION, Action.CLICK, Action.VIEW])
        at = DAY_0 + timedelta(minutes=10 * draw.randrange(days * 144))
        events.append(
            event(
                f"e{draw.randrange(10**9)}-{number}",
                action,
                at=at,
                user=f"u{draw.randrange(n_users)}",
                item=f"i{draw.randrange(n_items)}",
                slate_id=draw.choice([None, "s1", "s2"]),
                dwell_ms=draw.choice([None, 0, 5_000, 20_000]) if action == Action.VIEW else None,
                duration_ms=draw.choice([None, 0, 4_000, 60_000]),
            )
        )
    return events


def frame_of(spark: SparkSession, rows: Sequence[Sequence[Any]], ddl: str) -> DataFrame:
    """Return rows as a frame that the JVM holds: Spark would start Python workers to read a list of tuples."""
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructType

    kind = StructType.fromDDL(ddl)
    schema = to_arrow_schema(kind)
    columns = zip(*rows, strict=True) if rows else [()] * len(kind)
    arrays = [pa.array(column, each.type) for column, each in zip(columns, schema, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    return spark.createDataFrame(table, kind)


def clean_frame(spark: SparkSession, events: Iterable[Event], *, lag: timedelta = timedelta(0)) -> DataFrame:
    """Return events as rows of the clean table; each was ingested `lag` after it happened."""
    rows: list[dict[str, Any]] = [
        {
            **each.model_dump(),
            Column.ACTION: str(each.action),
            Column.EVENT_DATE: each.event_time.date(),
            Column.INGEST_TIME: each.event_time + lag,
        }
        for each in events
    ]
    ordered = [tuple(row[name] for name in CLEAN_EVENTS.columns) for row in rows]
    return frame_of(spark, ordered, CLEAN_EVENTS.ddl)


def json_lines(events: Sequence[Event]) -> bytes:
    return b"".join(each.to_json() + b"\n" for each in events)
