"""Point-in-time features of examples and items out of touches: what the daily job would have written, found by moment.

The numbers are those of `recloop.aggregates`, in the 32 bits that feature tables have. A row that nobody had written
yet is NULL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recloop.aggregates import DECIMALS, PREFERENCE
from recloop.clock import MS_PER_DAY
from recloop.features import (
    EVERYONE,
    HALF_LIFE_DAYS,
    ITEM_DAILY,
    MAX_CATEGORIES,
    MAX_POPULAR_ITEMS,
    POPULARITY_HALF_LIFE_DAYS,
    PRIOR_RATES,
    PRIOR_TOUCHES,
    RANKING_V1,
    SEGMENT_DAILY,
    USER_DAILY,
    FeatureView,
)
from recloop.labels import Head
from recloop.tables import Column
from recloop.training_set import ms
from training.data.dataset import Ints
from training.source.log import ARROW_TYPES
from training.source.touches import Daily, Floats, Touches, by_day

PLACE = {head: place for place, head in enumerate(Head)}


@dataclass(frozen=True)
class ItemCategories:
    """Categories of each item of a log, each once: those of item i are `places[starts[i]:starts[i + 1]]` in `names`."""

    names: NDArray[np.object_]
    places: Ints
    starts: Ints


def item_categories(item_ids: Sequence[str], categories: Mapping[str, Sequence[str]]) -> ItemCategories:
    """Look up the categories of items; one that the catalogue lacks has none."""
    of_each = [sorted(set(categories.get(item_id, ()))) for item_id in item_ids]
    names = sorted({name for own in of_each for name in own})
    place = {name: number for number, name in enumerate(names)}
    return ItemCategories(
        names=np.array(names, dtype=object),
        places=np.array([place[name] for own in of_each for name in own], dtype=np.int64),
        starts=np.cumsum([0, *map(len, of_each)]),
    )


def user_features(touches: Touches, categories: ItemCategories, users: Ints, days: Ints) -> pa.Table:
    """Return the features of `user_daily` that ranking reads, one row per user and newest readable day asked for."""
    daily = by_day(touches.users, touches.days)
    newest = daily.newest(users, days)
    # Lists are made for the rows that are asked for, and once for each.
    rows, which = np.unique(newest, return_inverse=True)
    found = rows[rows >= 0]
    lists = _category_lists(touches, categories, daily.keys[found], daily.days[found])
    last_ms = np.zeros(len(daily), dtype=np.int64)
    np.maximum.at(last_ms, daily.rows, touches.last_ms)
    sums = {name: values[found] for name, values in _slow_sums("user", touches, daily).items()}
    features = {
        **sums,
        "user_active_days": daily.decayed(np.ones(len(daily)), half_life=HALF_LIFE_DAYS)[found],
        "user_last_ms": last_ms[found],
        "user_categories": lists[0],
        "user_category_weights": lists[1],
        "user_feature_ms": (daily.days[found] + 1) * MS_PER_DAY,
    }
    return _taken(USER_DAILY, features, which - np.count_nonzero(rows < 0))


def item_features(touches: Touches, items: Ints, days: Ints) -> pa.Table:
    """Return the features of `item_daily`, one row per item (-1: not in the log) and newest readable day asked for."""
    daily = by_day(touches.items, touches.days)
    first_ms = np.full(len(daily), np.iinfo(np.int64).max)
    np.minimum.at(first_ms, daily.rows, touches.first_ms)
    clicks = touches.heads[:, PLACE[Head.CLICK]]
    features = {
        **_slow_sums("item", touches, daily),
        "item_popularity": daily.decayed(daily.sums(clicks), half_life=POPULARITY_HALF_LIFE_DAYS),
        "item_first_ms": first_ms[daily.first_rows()],
        "item_feature_ms": (daily.days + 1) * MS_PER_DAY,
    }
    return _taken(ITEM_DAILY, features, daily.newest(items, days))


def popular_items(
    touches: Touches, segments: Sequence[str | None], item_ids: NDArray[np.object_], *, day: int
) -> pa.Table:
    """Return the newest row of `segment_daily` up to a day, per segment with a touch by then.

    Args:
        touches: all touches.
        segments: the segment of each user of the log; all users are in EVERYONE too.
        item_ids: what the items of touches stand for.
        day: the newest day that may be known.
    """
    names = sorted({EVERYONE, *(name for name in segments if name is not None)})
    place = {name: number for number, name in enumerate(names)}
    own = np.array([-1 if name in {None, EVERYONE} else place[str(name)] for name in segments], dtype=np.int64)
    known = touches.where(touches.days <= day)
    rows = np.tile(np.arange(len(known.days)), 2)
    members = np.concatenate([np.full(len(known.days), place[EVERYONE]), own[known.users]])
    rows, members = rows[members >= 0], members[members >= 0]
    newest = np.full(len(names), -1)
    np.maximum.at(newest, members, known.days[rows])
    clicked = known.heads[rows, PLACE[Head.CLICK]]
    rows, members = rows[clicked], members[clicked]
    pairs, pair = np.unique(members * len(item_ids) + known.items[rows], return_inverse=True)
    faded = 0.5 ** ((newest[members] - known.days[rows]) / POPULARITY_HALF_LIFE_DAYS)
    weights: Floats = np.bincount(pair, weights=faded, minlength=len(pairs)).astype(np.float64)
    ranked = _rank(pairs // len(item_ids), pairs % len(item_ids), weights, n_groups=len(names), most=MAX_POPULAR_ITEMS)
    columns: dict[str, Any] = {
        Column.SEGMENT.value: pa.array(names, pa.string()),
        **dict(zip(SEGMENT_DAILY.names, ranked.lists(item_ids, ranked.weights), strict=True)),
        ms(Column.FEATURE_TIME): pa.array((newest + 1) * MS_PER_DAY),
    }
    return pa.table(columns).filter(pa.array(newest >= 0))


def _slow_sums(prefix: str, touches: Touches, daily: Daily) -> dict[str, Floats]:
    """Return the decayed number of touches and the smoothed rate of each head, per row."""
    n_touches = daily.decayed(daily.sums(np.ones(len(touches.days))), half_life=HALF_LIFE_DAYS)
    columns = {f"{prefix}_touches": n_touches}
    for head, prior in PRIOR_RATES.items():
        positive = daily.decayed(daily.sums(touches.heads[:, PLACE[Head(head)]]), half_life=HALF_LIFE_DAYS)
        columns[f"{prefix}_{head}_rate"] = (positive + PRIOR_TOUCHES * prior) / (n_touches + PRIOR_TOUCHES)
    return columns


def _category_lists(touches: Touches, categories: ItemCategories, users: Ints, days: Ints) -> tuple[pa.Array, pa.Array]:
    """Return each user's categories and their weights as of the end of a day."""
    liked, hidden = (touches.heads[:, PLACE[head]] for head in (Head.LIKE, Head.HIDE))
    clicked = touches.heads[:, PLACE[Head.CLICK]]
    preference = np.where(liked, PREFERENCE[Head.LIKE], PREFERENCE[Head.CLICK] * clicked)
    preference = preference + PREFERENCE[Head.HIDE] * hidden
    # A touch that says nothing leaves every sum as it is.
    telling = (preference != 0) & np.isin(touches.users, users)
    kept, preference = touches.where(telling), preference[telling]
    touch, at = _expand(categories.starts[kept.items], categories.starts[kept.items + 1])
    keys = kept.users[touch] * len(categories.names) + categories.places[at]
    series, key = np.unique(keys, return_inverse=True)
    daily = by_day(key, kept.days[touch])
    standing = daily.decayed(daily.sums(preference[touch]), half_life=HALF_LIFE_DAYS)
    of_user = series // max(len(categories.names), 1)
    asked, which = _expand(np.searchsorted(of_user, users, side="left"), np.searchsorted(of_user, users, side="right"))
    rows = daily.newest(which, days[asked])
    asked, rows = asked[rows >= 0], rows[rows >= 0]
    faded = standing[rows] * 0.5 ** ((days[asked] - daily.days[rows]) / HALF_LIFE_DAYS)
    places = series[daily.keys[rows]] % max(len(categories.names), 1)
    ranked = _rank(asked, places, faded, n_groups=len(users), most=MAX_CATEGORIES)
    return ranked.lists(categories.names, ranked.weights / ranked.strongest)


@dataclass(frozen=True)
class _Ranked:
    """What each group holds, strongest first: group g has the entries `starts[g]:starts[g + 1]`."""

    places: Ints
    weights: Floats
    starts: Ints

    @property
    def strongest(self) -> Floats:
        """Return for each entry the size of its group's first weight."""
        first = np.repeat(self.starts[:-1], np.diff(self.starts))
        return np.abs(self.weights[first])

    def lists(self, names: NDArray[np.object_], weights: Floats) -> tuple[pa.Array, pa.Array]:
        """Return the entries' names and weights as one list per group."""
        starts = pa.array(self.starts.astype(np.int32))
        values = pa.array(names[self.places], pa.string()), pa.array(weights.astype(np.float32))
        return pa.ListArray.from_arrays(starts, values[0]), pa.ListArray.from_arrays(starts, values[1])


def _rank(groups: Ints, places: Ints, weights: Floats, *, n_groups: int, most: int) -> _Ranked:
    """Order each group's entries by the size of their rounded weight, at a tie by place; drop zeros and the weakest."""
    weights = np.round(weights, DECIMALS)
    order = np.lexsort((places, -np.abs(weights), groups))
    order = order[weights[order] != 0]
    groups = groups[order]
    rank = np.arange(len(groups)) - np.searchsorted(groups, groups, side="left")
    order, groups = order[rank < most], groups[rank < most]
    return _Ranked(places[order], weights[order], np.searchsorted(groups, np.arange(n_groups + 1)))


def _expand(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Return every number of several ranges, and before it which range it is of.

    >>> [each.tolist() for each in _expand(np.array([5, 0, 2]), np.array([7, 0, 3]))]
    [[0, 0, 2], [5, 6, 2]]
    """
    sizes = ends - starts
    owner = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return owner, starts[owner] + within


def _taken(view: FeatureView, features: Mapping[str, Any], rows: Ints) -> pa.Table:
    """Return rows of a view's features in the types of its table; NULL where the row is negative."""
    kinds = {spec.name: ARROW_TYPES[spec.kind] for spec in view.features}
    columns = {name: pa.array(features[name]).cast(kinds[name]) for name in RANKING_V1.names(view)}
    return pa.table(columns).take(pa.array(rows, mask=rows < 0))
