"""Build a training-set folder straight from a data source: no Spark, no Kafka, no Airflow, one process.

In: any `recloop.sources` adapter. Out: the folder that `jobs.etl.build_training_set` writes from the lake, file by file
and column by column (`recloop.training_set`); tests/parity holds the two together. Costs grow with the rows of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recloop.attributes import USER_ATTRIBUTES, attribute_texts
from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import EPOCH, format_time, from_ms, to_ms
from recloop.errors import TrainingError
from recloop.features import RANKING_V1, USER_PROFILE, contract_id
from recloop.negatives import with_negatives as add_negatives
from recloop.sources import Source
from recloop.splits import TimeSplit, split_by_time
from recloop.tables import Column
from recloop.training_set import EVENT_HASH, PUBLISHED_MS, write_folder
from training.data.dataset import Ints
from training.source.features import item_categories, item_features, popular_items, user_features
from training.source.labels import exposure_rows, label_rows
from training.source.log import TIME_MS, SourceLog, interaction_rows, read_log
from training.source.touches import Touches, find_touches, newest_readable_day

Row = TypeVar("Row")


def build_source_set(
    source: Source,
    out: Path,
    *,
    until: datetime,
    window: timedelta,
    seed: int,
    examples_from: datetime | None = None,
    with_negatives: bool = True,
    most: int | None = None,
    run_delay: timedelta = timedelta(0),
) -> dict[str, Any]:
    """Write the folder of everything before `until`; return the facts that its snapshot.json holds.

    Args:
        source: read once; its events before `until`, its items, its users.
        out: folder to write, complete or not at all; replaced when it exists.
        until: no event at or after it is read, so an interaction after it is no outcome of what was shown before.
        window: how long after an impression an interaction counts.
        seed: what the sampled negatives are drawn from.
        examples_from: where the examples begin and the holdout too, with no stack span; None: the examples are those
            of the stack and holdout spans of `split_by_time`.
        with_negatives: whether sampled negatives stand beside the clicked label rows.
        most: how many label rows to keep, the newest; None: all.
        run_delay: how long after its day a row of features was written; no example reads it before.

    Raises:
        SourceError: a file of the source is not what its format says.
        TrainingError: nothing lies in a span that needs something; the message has the span and what was found.
    """
    log = read_log(source, until=until)
    interactions = interaction_rows(log)
    split = _split(log, interactions, until=until, examples_from=examples_from)
    labels = _labels(log, split, window=window, most=most)
    if with_negatives:
        examples = add_negatives(labels, interactions, seed=seed)
    else:
        examples = labels.append_column(Column.SAMPLED.value, pa.array(np.zeros(len(labels), dtype=np.bool_)))
    items = _firsts((item.item_id, item) for item in source.items())
    users = _firsts((user.user_id, user) for user in source.users())
    touches = find_touches(log)
    tables = {
        "examples": _with_features(examples, log, touches, items, users, run_delay=run_delay),
        "exposures": exposure_rows(log, window=window),
        "interactions": interactions,
        "items": _items(items, examples, log, touches, day=_newest_day(split.holdout_ms, run_delay)),
        "users": _users([user for user in users if _known_ms(user) <= split.end_ms]),
        "popularity": _popularity(users, log, touches, split, day=_newest_day(split.holdout_ms, run_delay)),
    }
    facts = _facts(source, interactions, split, seed=seed) | {
        "counts": {name: len(table) for name, table in tables.items()},
        "left_out": log.left_out,
    }
    write_folder(out, tables, facts)
    return facts


def _split(log: SourceLog, interactions: pa.Table, *, until: datetime, examples_from: datetime | None) -> TimeSplit:
    times = interactions[TIME_MS].to_numpy()
    if not len(times):
        raise TrainingError(
            f"all {len(log)} events before {format_time(until)} are impressions; expected interactions too. "
            f"{_span(log)} Choose a later end, or give a log of what users did."
        )
    if examples_from is None:
        return split_by_time(times, end_ms=to_ms(until))
    # Whoever names the span judges with it: all before is the base, and nothing is left for a stack to learn from.
    start_ms = to_ms(examples_from)
    return TimeSplit(min(int(times.min()), start_ms), start_ms, start_ms, to_ms(until))


def _labels(log: SourceLog, split: TimeSplit, *, window: timedelta, most: int | None) -> pa.Table:
    rows = label_rows(log, window=window, start_ms=split.stack_ms, most=most)
    if not len(rows):
        raise TrainingError(
            f"no impression or interaction lies between {format_time(from_ms(split.stack_ms))} and "
            f"{format_time(from_ms(split.end_ms))}; expected some to learn from or to judge by. {_span(log)} "
            "Choose a span within that."
        )
    return rows


def _firsts(rows: Iterable[tuple[str, Row]]) -> list[Row]:
    """Return the first row of each id, as the adapters do."""
    firsts: dict[str, Row] = {}
    for key, row in rows:
        firsts.setdefault(key, row)
    return list(firsts.values())


def _span(log: SourceLog) -> str:
    return f"The source's events are from {format_time(log.span[0])} to {format_time(log.span[1])}."


def _newest_day(time_ms: int, delay: timedelta) -> int:
    return int(newest_readable_day(np.array([time_ms]), delay)[0])


def _with_features(
    examples: pa.Table,
    log: SourceLog,
    touches: Touches,
    items: Sequence[CatalogItem],
    users: Sequence[CatalogUser],
    *,
    run_delay: timedelta,
) -> pa.Table:
    """Append what a reader of each example's moment would have found."""
    times_ms = examples[TIME_MS].to_numpy()
    days = newest_readable_day(times_ms, run_delay)
    categories = item_categories(log.item_ids.tolist(), {item.item_id: item.categories for item in items})
    user_rows = _places(examples[Column.USER_ID], log.user_ids)
    item_rows = _places(examples[Column.ITEM_ID], log.item_ids)
    parts = (
        user_features(touches, categories, user_rows, days),
        item_features(touches, item_rows, days),
        _profiles(examples[Column.USER_ID], times_ms, users),
    )
    for part in parts:
        for name in part.column_names:
            examples = examples.append_column(name, part[name])
    return examples


def _profiles(user_ids: pa.ChunkedArray, times_ms: Ints, users: Sequence[CatalogUser]) -> pa.Table:
    """Return each user's profile where it was known by then; NULL elsewhere."""
    known_ms = np.array([*map(_known_ms, users), 0])
    rows = _places(user_ids, np.array([user.user_id for user in users], dtype=object))
    hidden = (rows < 0) | (known_ms[rows] > times_ms)
    return _users(users).drop_columns([Column.USER_ID.value]).take(pa.array(rows, mask=hidden))


def _known_ms(user: CatalogUser) -> int:
    """Return when a profile became known: with its `updated_at`, to the next millisecond; always, where that lacks."""
    moment = user.updated_at or EPOCH
    return to_ms(moment - timedelta(microseconds=1)) + 1


def _users(users: Sequence[CatalogUser]) -> pa.Table:
    names = [str(name) for name in (Column.USER_ID, *USER_PROFILE.names)]
    texts = pa.array([attribute_texts(user.attributes) for user in users], pa.list_(pa.string()))
    profile = {name: pa.array([getattr(user, name) for user in users], pa.string()) for name in names[:-1]}
    # Each text once: a column of lists holds no more than 2 GiB of them, and examples repeat those of their users.
    shared = pa.ListArray.from_arrays(texts.offsets, texts.values.dictionary_encode())
    return pa.table(profile | {USER_ATTRIBUTES: shared})


def _items(items: Sequence[CatalogItem], examples: pa.Table, log: SourceLog, touches: Touches, *, day: int) -> pa.Table:
    """Return the catalogue with the features readable up to a day.

    An item of interactions or examples that the catalogue lacks gets a row with nothing but its id.
    """
    met = log.item_ids[np.unique(log.items[log.interacted])].tolist() + pc.unique(examples[Column.ITEM_ID]).to_pylist()
    known = {item.item_id: item for item in items}
    rows = [known.get(item_id) or CatalogItem(item_id=item_id) for item_id in sorted({*known, *met})]
    ids = pa.chunked_array([[item.item_id for item in rows]], pa.string())
    published = [None if item.published_at is None else to_ms(item.published_at) for item in rows]
    columns: dict[str, Any] = {
        Column.ITEM_ID.value: ids,
        Column.TITLE.value: pa.array([item.title for item in rows], pa.string()),
        Column.CATEGORIES.value: pa.array([list(item.categories) for item in rows], pa.list_(pa.string())),
        Column.AUTHOR_ID.value: pa.array([item.author_id for item in rows], pa.string()),
        Column.DURATION_MS.value: pa.array([item.duration_ms for item in rows], pa.int64()),
        PUBLISHED_MS: pa.array(published, pa.int64()),
    }
    features = item_features(touches, _places(ids, log.item_ids), np.full(len(rows), day))
    return pa.table(columns | {name: features[name] for name in features.column_names})


def _popularity(
    users: Sequence[CatalogUser], log: SourceLog, touches: Touches, split: TimeSplit, *, day: int
) -> pa.Table:
    segments = {user.user_id: user.segment for user in users}
    rows = popular_items(touches, [segments.get(user_id) for user_id in log.user_ids], log.item_ids, day=day)
    if not len(rows):
        raise TrainingError(
            f"no day with an event ended before {format_time(from_ms(split.holdout_ms))}, so nothing is popular "
            f"by then and no item has features. {_span(log)} Begin the examples later, or give a longer log."
        )
    return rows


def _places(column: pa.ChunkedArray, ids: Any) -> Ints:
    """Return the place of each text among `ids`; -1 where it is none of them."""
    found = pc.index_in(column, value_set=pa.array(ids, pa.string()))
    places: Ints = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    return places


def _facts(source: Source, interactions: pa.Table, split: TimeSplit, *, seed: int) -> dict[str, Any]:
    digest = blake2b(interactions[EVENT_HASH].to_numpy().tobytes(), digest_size=8).hexdigest()
    return {
        "until_ms": split.end_ms,
        "split": vars(split),
        # What a lake's snapshot ids are for: two sets of the same interactions have the same.
        "snapshots": {f"source.{source.name}": digest},
        "feature_service": RANKING_V1.name,
        "contract_id": contract_id(),
        "seed": seed,
    }
