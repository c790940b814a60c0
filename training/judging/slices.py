"""Name the slices of example rows, and judge a head in each: who and what a model is good for.

In: a training set, row numbers of its examples, and the moment the evaluation starts; interactions from then on decide
no slice. Out: slice → mask over these rows, and slice → numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_DAY, MS_PER_HOUR
from recloop.metrics import FEW_RESAMPLES
from recloop.tables import Column
from training.data.dataset import Interactions, Ints, TrainingSet
from training.data.requests import Request
from training.judging.head_numbers import head_numbers, unmeasured

Names = NDArray[np.object_]
Masks = dict[str, NDArray[np.bool_]]

HEAD_SHARE, TORSO_SHARE = 0.5, 0.9
"""The most popular items with half of all interactions are the head; those up to nine tenths the torso."""

UNKNOWN = "unknown"
PART_HOURS = 4
MIN_ROWS = 200
"""In fewer rows a head's numbers are noise."""


def slice_masks(training_set: TrainingSet, rows: Ints, *, before_ms: int) -> Masks:
    """Return slice → which of `rows` it has; of each dimension a row is in exactly one slice, and none is empty.

    A dimension of which no row says anything has no slice.

    - `user=new`, `light`, `heavy`: no interaction before `before_ms`; at most the median number; more. The median is
      over all users of the log who have one.
    - `item=head`, `torso`, `tail`, `cold`: by the share of all interactions before `before_ms` that strictly more
      popular items have: under 50 %, under 90 %, more; cold had none itself. Equally popular items share a slice.
    - `hour=00-04`, `04-08`, …: of the row's moment, UTC, half-open.
    - `surface=…`, `segment=…`, `age_group=…`, `gender=…`: as the row says, `unknown` where it does not.
    """
    examples, log = training_set.examples, training_set.interactions
    popularity = _item_slices(log, len(training_set.items), before_ms)
    columns = {
        "user": _user_slices(log, examples.user_ids[rows], before_ms),
        "item": popularity[examples.items[rows]],
        "hour": _hour_slices(examples.times_ms[rows]),
        Column.SURFACE: examples.surfaces[rows],
        **{name: values[rows] for name, values in examples.profile.items()},
    }
    return _masks(columns)


def _masks(columns: Mapping[str, Iterable[str | None]]) -> Masks:
    found: Masks = {}
    for dimension, values in columns.items():
        known = np.array([value or UNKNOWN for value in values], dtype=object)
        names = sorted(set(known))
        if names != [UNKNOWN]:
            found |= {f"{dimension}={name}": known == name for name in names}
    return found


def request_masks(training_set: TrainingSet, requests: Sequence[Request], *, before_ms: int) -> Masks:
    """Return slice → which of `requests` it has, by user, hour and surface; see `slice_masks`."""
    users = [request.user for request in requests]
    ids = np.array([user.user_id for user in users], dtype=object)
    columns: dict[str, Iterable[str | None]] = {
        "user": _user_slices(training_set.interactions, ids, before_ms),
        "hour": _hour_slices(np.array([request.context.time_ms for request in requests], dtype=np.int64)),
        Column.SURFACE: [request.context.surface for request in requests],
        Column.SEGMENT: [user.segment for user in users],
        Column.AGE_GROUP: [user.age_group for user in users],
        Column.GENDER: [user.gender for user in users],
    }
    return _masks(columns)


def measure_slices(
    masks: Mapping[str, NDArray[np.bool_]],
    labels: NDArray[np.int8],
    chances: NDArray[np.float64],
    users: Names,
    *,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return slice → numbers of one head; labels, chances and users stand beside masks.

    A slice of fewer than MIN_ROWS rows has its counts and a note alone.
    """
    found = {}
    for name, mask in masks.items():
        if mask.sum() < MIN_ROWS:
            found[name] = unmeasured(labels[mask], users[mask], note=f"fewer than {MIN_ROWS} rows: not measured.")
        else:
            found[name] = head_numbers(labels[mask], chances[mask], users[mask], seed=seed, n_resamples=FEW_RESAMPLES)
    return found


def _user_slices(log: Interactions, user_ids: Names, before_ms: int) -> Names:
    past = np.concatenate([[0], np.cumsum(log.times_ms < before_ms)])
    counts = np.diff(past[log.starts])
    known = counts[counts > 0]
    median = float(np.median(known)) if len(known) else 0.0
    names = np.where(counts == 0, "new", np.where(counts > median, "heavy", "light")).astype(object)
    of_user = dict(zip(log.user_ids, names, strict=True))
    return np.array([of_user.get(user_id, "new") for user_id in user_ids], dtype=object)


def _item_slices(log: Interactions, n_items: int, before_ms: int) -> Names:
    """Return the slice of each catalogue row."""
    counts = np.bincount(log.items[log.times_ms < before_ms], minlength=n_items)
    distinct, inverse, n_alike = np.unique(counts, return_inverse=True, return_counts=True)
    held = distinct * n_alike
    # What items of a higher count hold together; the total is 0 when nothing happened, and then all are cold.
    above = (held.sum() - np.cumsum(held)) / max(int(held.sum()), 1)
    names = np.where(above < HEAD_SHARE, "head", np.where(above < TORSO_SHARE, "torso", "tail")).astype(object)
    names[distinct == 0] = "cold"
    found: Names = names[inverse]
    return found


def _hour_slices(times_ms: Ints) -> Names:
    firsts = range(0, 24, PART_HOURS)
    names = np.array([f"{first:02}-{first + PART_HOURS:02}" for first in firsts], dtype=object)
    found: Names = names[times_ms % MS_PER_DAY // (PART_HOURS * MS_PER_HOUR)]
    return found
