"""The rows of a training set out of the lake: labels of the later spans, and features as of each row's time."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from jobs.etl.attribute_labels import attribute
from jobs.etl.user_sequences import TIME_MS
from recloop.features import FeatureService
from recloop.splits import TimeSplit
from recloop.tables import CLEAN_EVENTS, LABELS, Column
from recloop.training_set import codes

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore
    from pyspark.sql import DataFrame, SparkSession

AT = "event_timestamp"
"""Feast's name for the moment of an entity row."""


def labels_before(spark: SparkSession, until: datetime, *, window: timedelta) -> DataFrame:
    """Return the label rows of everything before a moment, with the outcomes that were there by then.

    What was shown less than a window before it may have got outcomes since, and its rows in the lake have them: these
    rows are attributed again, from the events before the moment.
    """
    from pyspark.sql import functions as F

    at, open_from = F.col(Column.EVENT_TIME), F.lit(until - window)
    # An interaction of the last window may belong to an impression of the one before.
    known = (F.lit(until - 2 * window) <= at) & (at < F.lit(until))
    recent = attribute(spark.table(CLEAN_EVENTS.full_name).where(known), window=window).where(at >= open_from)
    return spark.table(LABELS.full_name).where(at < open_from).unionByName(recent.cache())


def newest_labels(labels: DataFrame, split: TimeSplit, *, most: int) -> pa.Table:
    """Return the newest label rows of the stack and holdout spans, in time order."""
    from pyspark.sql import functions as F

    time_ms = F.unix_millis(Column.EVENT_TIME)
    rows = labels.where((time_ms >= split.stack_ms) & (time_ms < split.end_ms)).select(
        Column.LABEL_ID,
        Column.ORIGIN,
        time_ms.alias(TIME_MS),
        *(name for name in LABELS.columns if name not in _NOT_IN_EXAMPLES),
    )
    newest = rows.orderBy(F.desc(TIME_MS), Column.LABEL_ID).limit(most).toArrow()
    return newest.sort_by([(TIME_MS, "ascending"), (Column.LABEL_ID.value, "ascending")])


_NOT_IN_EXAMPLES = {
    Column.LABEL_ID,
    Column.ORIGIN,
    Column.EVENT_TIME,
    Column.EVENT_DATE,
    Column.MODEL_VERSION,
    Column.KNOWN_AT,
}


def visible_from(spark: SparkSession, service: FeatureService) -> np.ndarray:
    """Return the moments in ms, ascending, at which rows of the service's views became known; 0 before all."""
    from pyspark.sql import functions as F

    # Rounded up: a row created within a millisecond is not known at its beginning.
    known = F.ceil(F.unix_micros(F.greatest(Column.FEATURE_TIME, Column.CREATED_AT)) / F.lit(1_000)).alias("known")
    moments = [spark.table(view.table.full_name).select(known).distinct() for view in service.views]
    found = reduce(lambda left, right: left.union(right), moments).toArrow()["known"].to_numpy()
    return np.unique(np.append(found, 0)).astype(np.int64)


def with_features(spark: SparkSession, store: FeatureStore, examples: pa.Table, service: FeatureService) -> pa.Table:
    """Append the features each row's reader would have had: Feast's point-in-time join.

    Moments are moved back to the newest one at which any feature row became known. Between two of those the join gives
    the same, so rows share joins, and none can learn anything by it.
    """
    import pyarrow as pa

    known_at = visible_from(spark, service)
    at = known_at[np.maximum(np.searchsorted(known_at, examples[TIME_MS].to_numpy(), side="right") - 1, 0)]
    users, items = codes(examples[Column.USER_ID]), codes(examples[Column.ITEM_ID])
    keys, where = np.unique(np.column_stack([users[1], items[1], at]), axis=0, return_inverse=True)
    entities = pa.table(
        {
            "row": pa.array(np.arange(len(keys)), pa.int64()),
            Column.USER_ID.value: pa.array(users[0][keys[:, 0]], pa.string()),
            Column.ITEM_ID.value: pa.array(items[0][keys[:, 1]], pa.string()),
            AT: pa.array(keys[:, 2] * 1_000, pa.timestamp("us", tz="UTC")),
        }
    )
    joined = store.get_historical_features(
        entity_df=spark.createDataFrame(entities).cache(),
        features=store.get_feature_service(service.name),
        filter_by_created_timestamp=True,
    )
    known = joined.to_spark_df().drop(AT, Column.USER_ID, Column.ITEM_ID).toArrow().sort_by("row").drop_columns(["row"])
    matched = known.take(where.reshape(-1))
    for view in service.views:
        for name in service.names(view):
            examples = examples.append_column(name, matched[name])
    return examples
