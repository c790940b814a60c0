"""The rows of a training set: labels of the later spans, sampled negatives, and features as of each row's time."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.etl.negatives import Log, sample_negatives
from jobs.etl.user_sequences import TIME_MS
from recloop.features import FeatureService
from recloop.labels import Head
from recloop.splits import TimeSplit
from recloop.tables import LABELS, Column

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore
    from pyspark.sql import DataFrame, SparkSession

AT = "event_timestamp"
"""Feast's name for the moment of an entity row."""


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


_NOT_IN_EXAMPLES = {Column.LABEL_ID, Column.ORIGIN, Column.EVENT_TIME, Column.EVENT_DATE, Column.MODEL_VERSION}


def with_negatives(labels: pa.Table, interactions: pa.Table, *, seed: int) -> pa.Table:
    """Return the label rows and, after each clicked one, its sampled negatives: other items, all labels 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    positives = labels.filter(pc.equal(labels[Head.CLICK], 1))
    users, items = _codes(interactions[Column.USER_ID]), _codes(interactions[Column.ITEM_ID])
    log = Log(users[1], items[1], interactions[TIME_MS].to_numpy(), len(items[0]))
    rows, drawn = sample_negatives(
        log,
        label_ids=positives[Column.LABEL_ID].to_pylist(),
        users=np.searchsorted(users[0], positives[Column.USER_ID].to_numpy(zero_copy_only=False)),
        times_ms=positives[TIME_MS].to_numpy(),
        seed=seed,
    )
    negatives = positives.take(rows)
    replaced: dict[str, Any] = {Column.ITEM_ID.value: pa.array(items[0][drawn], pa.string())}
    replaced |= {str(head): pa.array(np.zeros(len(rows)), pa.int32()) for head in Head}
    # An item that was not shown had no place in the slate, and no chance of it that the log knows.
    replaced |= {
        name.value: pa.nulls(len(rows), labels.schema.field(name).type) for name in (Column.POSITION, Column.PROPENSITY)
    }
    for name, values in replaced.items():
        negatives = negatives.set_column(negatives.schema.get_field_index(name), name, values)
    parts = [
        table.append_column(Column.SAMPLED.value, pa.array([sampled] * len(table), pa.bool_()))
        for table, sampled in ((labels, False), (negatives.cast(labels.schema), True))
    ]
    order = [
        (name, "ascending") for name in (TIME_MS, Column.LABEL_ID.value, Column.SAMPLED.value, Column.ITEM_ID.value)
    ]
    return pa.concat_tables(parts).sort_by(order)


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    values, codes = np.unique(column.to_numpy(), return_inverse=True)
    return values, codes.astype(np.int64)


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
    users, items = _codes(examples[Column.USER_ID]), _codes(examples[Column.ITEM_ID])
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
