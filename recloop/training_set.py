"""The training-set folder, named once.

`jobs.etl.build_training_set` writes it from the lake, `training.source.build` from a data source; `training` reads it.
Times are int64 milliseconds in columns with the suffix `_ms`; an unknown number is NULL, never NaN.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.features import ITEM_DAILY, RANKING_V1, USER_PROFILE
from recloop.labels import Head
from recloop.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa


def ms(column: str) -> str:
    """Return the name that a time has in a training set.

    >>> ms(Column.EVENT_TIME)
    'event_time_ms'
    """
    return f"{column}_ms"


class TrainingFile(StrEnum):
    """Files of the folder."""

    EXAMPLES = "examples.parquet"
    EXPOSURES = "exposures.parquet"
    INTERACTIONS = "interactions.parquet"
    ITEMS = "items.parquet"
    USERS = "users.parquet"
    POPULARITY = "popularity.parquet"
    SNAPSHOT = "snapshot.json"


PUBLISHED_MS = "published_ms"
EVENT_HASH = "event_hash"

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
    *Head,
    Column.SAMPLED,
    *(name for view in RANKING_V1.views for name in RANKING_V1.names(view)),
)
"""One row per label of the stack and holdout spans, or sampled negative, with its point-in-time features."""

EXPOSURE_COLUMNS = (
    Column.USER_ID,
    Column.ITEM_ID,
    ms(Column.EVENT_TIME),
    ms(Column.KNOWN_AT),
    Column.SURFACE,
    *Head,
)
"""Every label row that an impression began, of all spans: what statistics are counted from."""

EXPOSURE_ORDER = (ms(Column.KNOWN_AT), *(name for name in EXPOSURE_COLUMNS if name != ms(Column.KNOWN_AT)))
"""As their outcomes were known; by all else after that, so that the same rows make the same file."""

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


def codes(column: pa.ChunkedArray) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return the distinct values of a column of texts, in order, and each row's place among them."""
    import pyarrow.compute as pc

    # Texts are compared once each, not once per row; UTF-8 sorts as Python's own text does.
    encoded = column.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    values: NDArray[np.object_] = encoded.dictionary.to_numpy(zero_copy_only=False)[order].astype(object)
    return values, places[encoded.indices.to_numpy()]


def write_folder(out: Path, tables: Mapping[str, pa.Table], facts: Mapping[str, Any]) -> None:
    """Write tables, by file name without suffix, and the snapshot under another name, then rename the folder.

    Nobody ever reads half of it; a folder that was there is replaced.
    """
    import pyarrow.parquet as pq

    aside = out.with_name(f"{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, table in tables.items():
        # Without Arrow's own schema: texts that one writer holds in a dictionary are texts to every reader.
        pq.write_table(table, aside / f"{name}.parquet", compression="zstd", store_schema=False)
    (aside / TrainingFile.SNAPSHOT).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    if out.exists():
        shutil.rmtree(out)
    aside.rename(out)
