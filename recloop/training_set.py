"""The training-set folder: what `jobs.etl.build_training_set` writes and `training` reads, named once.

Times are int64 milliseconds in columns with the suffix `_ms`; an unknown number is NULL, never NaN.
"""

from __future__ import annotations

from enum import StrEnum

from recloop.features import ITEM_DAILY, RANKING_V1, USER_PROFILE
from recloop.tables import Column


def ms(column: str) -> str:
    """Return the name that a time has in a training set.

    >>> ms(Column.EVENT_TIME)
    'event_time_ms'
    """
    return f"{column}_ms"


class TrainingFile(StrEnum):
    """Files of the folder."""

    EXAMPLES = "examples.parquet"
    INTERACTIONS = "interactions.parquet"
    ITEMS = "items.parquet"
    USERS = "users.parquet"
    POPULARITY = "popularity.parquet"
    SNAPSHOT = "snapshot.json"


PUBLISHED_MS = "published_ms"
EVENT_HASH = "event_hash"
LABEL_COLUMNS = (Column.CLICK, Column.LONG_VIEW, Column.LIKE, Column.HIDE)

EXAMPLE_COLUMNS = (
    Column.LABEL_ID,
    Column.ORIGIN,
    ms(Column.EVENT_TIME),
    Column.USER_ID,
    Column.ITEM_ID,
    Column.SLATE_ID,
    Column.POSITION,
    Column.PROPENSITY,
    Column.SURFACE,
    Column.DEVICE,
    *LABEL_COLUMNS,
    Column.SAMPLED,
    *(name for view in RANKING_V1.views for name in RANKING_V1.names(view)),
)
"""One row per label of the stack and holdout spans, or sampled negative, with its point-in-time features."""

INTERACTION_COLUMNS = (
    Column.USER_ID,
    Column.ITEM_ID,
    Column.ACTION,
    ms(Column.EVENT_TIME),
    Column.DWELL_MS,
    EVENT_HASH,
)
"""All interactions before `until`, sorted by user, time and hash."""

ITEM_COLUMNS = (
    Column.ITEM_ID,
    Column.TITLE,
    Column.CATEGORIES,
    Column.AUTHOR_ID,
    Column.DURATION_MS,
    PUBLISHED_MS,
    *ITEM_DAILY.names,
)
"""The catalogue with each item's newest features known when the holdout begins."""

USER_COLUMNS = (Column.USER_ID, *USER_PROFILE.names)
POPULARITY_COLUMNS = (Column.SEGMENT, "popular_items", "popular_weights")
