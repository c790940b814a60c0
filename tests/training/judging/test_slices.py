"""Slices against logs small enough to count by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recloop.clock import MS_PER_DAY, MS_PER_HOUR
from recloop.head_metrics import expected_calibration_error
from recloop.tables import Column
from training.data.dataset import Interactions, TrainingSet
from training.data.requests import sample_requests
from training.judging.slices import MIN_ROWS, measure_slices, request_masks, slice_masks

START_MS = 1_000


def log_of(pairs: Sequence[tuple[str, int]], times_ms: Sequence[int] | None = None) -> Interactions:
    """Return a log of (user, item) pairs that come sorted by user, all before START_MS unless said otherwise."""
    counts = Counter(user for user, _ in pairs)
    zeros = np.zeros(len(pairs), dtype=np.int64)
    return Interactions(
        user_ids=tuple(counts), starts=np.concatenate([[0], np.cumsum([*counts.values()])]),
        items=np.array([item for _, item in pairs]), actions=zeros,
        times_ms=zeros if times_ms is None else np.array(times_ms), dwell_ms=zeros,
        index={user: row for row, user in enumerate(counts)},
    )  # fmt: skip


def named(training_set: TrainingSet, dimension: str, *, before_ms: int = START_MS) -> list[str]:
    """Return the slice of each example in one dimension."""
    n = len(training_set.examples)
    masks = slice_masks(training_set, np.arange(n), before_ms=before_ms)
    own = {name.removeprefix(f"{dimension}="): mask for name, mask in masks.items() if name.startswith(f"{dimension}=")}
    assert (np.sum([*own.values()], axis=0) == 1).all()
    return [next(name for name, mask in own.items() if mask[row]) for row in range(n)]


def with_examples(
    training_set: TrainingSet, log: Interactions | None = None, **columns: Sequence[object]
) -> TrainingSet:
    """Return the set with as many examples as the columns have, these columns replaced, and another log."""
    n = len(next(iter(columns.values())))
    examples = training_set.examples
    cut: dict[str, Any] = {
        name: {key: values[:n] for key, values in column.items()} if isinstance(column, dict) else column[:n]
        for name, column in vars(examples).items()
    }
    arrays = {name: np.array(values, dtype=vars(examples)[name].dtype) for name, values in columns.items()}
    return replace(
        training_set, interactions=log or training_set.interactions, examples=replace(examples, **(cut | arrays))
    )


def test_users_are_split_at_the_median_of_those_known_before(training_set: TrainingSet) -> None:
    # before the start a has 1 interaction, b 2, c 4, d none; the median of 1, 2, 4 is 2
    pairs = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("c", 0), ("c", 1), ("c", 2), ("c", 3), ("d", 0)]
    times = [999, 1_000, 1_001, 0, 0, 0, 0, 0, 0, 1_000]
    cut = with_examples(training_set, log_of(pairs, times), user_ids=["a", "b", "c", "d", "nobody"])
    assert named(cut, "user") == ["light", "light", "heavy", "new", "new"]


def test_items_are_split_by_what_more_popular_ones_hold(training_set: TrainingSet) -> None:
    # of 20 interactions items 0 to 5 have 8, 4, 4, 2, 1, 1: above them lie 0, 8, 8, 16, 18 and 18 twentieths
    counts = [8, 4, 4, 2, 1, 1]
    log = log_of([("a", item) for item, n in enumerate(counts) for _ in range(n)])
    cut = with_examples(training_set, log, items=[6, 5, 4, 3, 2, 1, 0])
    assert named(cut, "item") == ["cold", "tail", "tail", "torso", "head", "head", "head"]


def test_item_that_begins_at_half_is_torso(training_set: TrainingSet) -> None:
    log = log_of([("a", 0)] * 5 + [("a", 1)] * 4 + [("a", 2)])
    cut = with_examples(training_set, log, items=[0, 1, 2])
    assert named(cut, "item") == ["head", "torso", "tail"]  # 0, 5 and 9 tenths above


def test_what_happens_later_makes_nobody_known(training_set: TrainingSet) -> None:
    cut = with_examples(training_set, log_of([("a", 0)], [START_MS]), user_ids=["a"], items=[0])
    assert (named(cut, "user"), named(cut, "item")) == (["new"], ["cold"])


def test_parts_of_the_day_are_half_open_and_utc(training_set: TrainingSet) -> None:
    times = [0, 4 * MS_PER_HOUR - 1, 4 * MS_PER_HOUR, 20 * MS_PER_HOUR, MS_PER_DAY - 1]
    cut = with_examples(training_set, times_ms=[19_000 * MS_PER_DAY + time for time in times])
    assert named(cut, "hour") == ["00-04", "00-04", "04-08", "20-24", "20-24"]


def test_what_a_row_does_not_say_is_unknown(training_set: TrainingSet) -> None:
    cut = with_examples(training_set, surfaces=["tab 1", None, "", "home"])
    assert named(cut, "surface") == ["tab 1", "unknown", "unknown", "home"]


@pytest.mark.parametrize("column", [Column.SEGMENT, Column.AGE_GROUP, Column.GENDER])
def test_profile_names_the_slice(training_set: TrainingSet, column: Column) -> None:
    values = np.array(["one", None, "two"], dtype=object)
    cut = with_examples(training_set, items=[0, 1, 2])
    profile = {**cut.examples.profile, column: values}
    cut = replace(cut, examples=replace(cut.examples, profile=profile))
    assert named(cut, column.value) == ["one", "unknown", "two"]


def test_masks_are_over_the_rows_asked_for(training_set: TrainingSet) -> None:
    split, examples = training_set.split, training_set.examples
    rows = training_set.between(split.holdout_ms, split.end_ms)[::-2]
    masks = slice_masks(training_set, rows, before_ms=split.holdout_ms)
    n_rows: Counter[str] = Counter()
    for name, mask in masks.items():
        n_rows[name.split("=")[0]] += int(mask.sum())
    # nobody's age or gender is known
    dimensions = ("user", "item", "hour", "surface", "segment")
    assert n_rows == dict.fromkeys(dimensions, len(rows))  # each row once in each dimension
    assert all(len(mask) == len(rows) and mask.any() for mask in masks.values())
    assert masks["surface=home"].tolist() == [surface == "home" for surface in examples.surfaces[rows]]
    head, others = (set(examples.items[rows[own]]) for own in (masks["item=head"], ~masks["item=head"]))
    assert head
    assert others
    assert not head & others
    assert masks["segment=unknown"].tolist() == [user == "u00" for user in examples.user_ids[rows]]


def test_slices_are_measured_unless_there_is_little_to_measure() -> None:
    n = MIN_ROWS // 2
    # users of two rows each: n with a positive, then a negative; n with negatives, n with positives only
    rows = np.arange(6 * n)
    users = (rows // 2).astype(object)
    labels = np.concatenate([np.tile([1, 0], n), np.zeros(2 * n), np.ones(2 * n)]).astype(np.int8)
    chances = np.concatenate([np.tile([0.5, 0.25], n), np.full(2 * n, 0.9), np.full(2 * n, 0.1)])
    chances[:2] = 0.75, 0.6  # the first user's negative lies above the positives of all others
    masks = {
        "both": rows < 2 * n,
        "too few": rows < 2 * n - 1,
        "no positive": (rows >= 2 * n) & (rows < 4 * n),
        "users of one label": rows >= 2 * n,
    }
    found = measure_slices(masks, labels, chances, users, seed=1)
    assert found.keys() == masks.keys()
    both = found["both"]
    assert (both["rows"], both["positives"], both["users"]) == (2 * n, n, n)
    assert (both["auc"], both["gauc"]) == pytest.approx((1 - (n - 1) / n**2, 1.0))
    # each but the first says -ln .5 and -ln .75
    loss = -((n - 1) * np.log(0.5 * 0.75) + np.log(0.75 * 0.4)) / (2 * n)
    assert both["log_loss"] == pytest.approx(loss)
    assert both["log_loss_interval"][0] <= both["log_loss"] <= both["log_loss_interval"][1]
    assert both["ece"] == expected_calibration_error(labels[: 2 * n], chances[: 2 * n])
    few = found["too few"]
    assert (few["rows"], few["positives"], few["auc"], few["ece"]) == (2 * n - 1, n, None, None)
    assert few["note"] == "fewer than 200 rows: not measured."
    assert (found["no positive"]["auc"], found["no positive"]["ece"]) == (None, pytest.approx(0.9))
    assert (found["users of one label"]["auc"], found["users of one label"]["gauc"]) == (0.0, None)


def test_requests_are_sliced_by_who_asks_when_and_where(training_set: TrainingSet) -> None:
    split, examples = training_set.split, training_set.examples
    ages = np.where(examples.user_ids == "u01", "18-24", None).astype(object)
    examples = replace(examples, profile={**examples.profile, Column.AGE_GROUP: ages})
    training_set = replace(training_set, examples=examples)
    requests = sample_requests(
        training_set, start_ms=split.holdout_ms, end_ms=split.end_ms, n_users=60, per_user=2, seed=1
    )
    masks = request_masks(training_set, requests, before_ms=split.holdout_ms)
    for dimension in ("user", "hour", Column.SURFACE, Column.SEGMENT, Column.AGE_GROUP):
        own = [mask for name, mask in masks.items() if name.startswith(f"{dimension}=")]
        assert (np.sum(own, axis=0) == 1).all(), dimension
    assert masks["age_group=18-24"].tolist() == [request.user.user_id == "u01" for request in requests]
    assert masks["age_group=18-24"].any()
    assert not any(name.startswith("gender=") for name in masks), "a dimension that nobody is known in has no slice"
    first = requests[0]
    hour = first.context.time_ms % MS_PER_DAY // (4 * MS_PER_HOUR) * 4
    assert masks[f"hour={hour:02}-{hour + 4:02}"][0]
    assert masks[f"{Column.SURFACE}={first.context.surface}"][0]
    assert masks[f"{Column.SEGMENT}={first.user.segment or 'unknown'}"][0]
