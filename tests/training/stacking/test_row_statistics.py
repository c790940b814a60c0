from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recloop.clock import MS_PER_DAY, MS_PER_HOUR
from recloop.labels import Head
from recloop.ranking import Items
from recloop.statistics import BASE_STATISTICS, N_SUMS, Part, Statistic, Stream, hash_texts
from training.data.dataset import Exposures, Interactions
from training.stacking.row_statistics import SNAPSHOT_MS, Moments, RowStatistics, sums_before

N_ITEMS, N_USERS, N_ROWS = 12, 9, 400
END_MS = 10 * MS_PER_DAY
BY_ITEM = Statistic(Stream.EXPOSURES, (Part.ITEM,), 5)
BY_USER = Statistic(Stream.EXPOSURES, (Part.USER,), 5)
BY_KIND = Statistic(Stream.EXPOSURES, (Part.CATEGORY, "kind"), 5)
DONE_BY_ITEM = Statistic(Stream.INTERACTIONS, (Part.ITEM,), 5)


def catalogue() -> Items:
    numbers = np.full((N_ITEMS, 9), np.nan)
    return Items(
        ids=tuple(f"i{row}" for row in range(N_ITEMS)), titles=("",) * N_ITEMS,
        categories=tuple((f"c{row % 3}",) if row else () for row in range(N_ITEMS)),
        authors=(None,) * N_ITEMS, numbers=numbers, as_of_ms=0,
    )  # fmt: skip


def made_up(seed: int = 0) -> Any:
    """Return a training set as far as statistics read one: exposures known some hours after they were shown."""
    generator = np.random.default_rng(seed)
    times = np.sort(generator.integers(0, END_MS, N_ROWS))
    known = times + generator.integers(0, 5 * MS_PER_HOUR, N_ROWS) * generator.integers(0, 2, N_ROWS)
    order = np.argsort(known, kind="stable")
    users = np.array([f"u{place}" for place in generator.integers(0, N_USERS, N_ROWS)], dtype=object)
    exposures = Exposures(
        users[order], generator.integers(0, N_ITEMS, N_ROWS), times[order], known[order],
        np.array(["home", None], dtype=object)[generator.integers(0, 2, N_ROWS)],
        {head: generator.integers(0, 2, N_ROWS).astype(np.int8) for head in Head},
    )  # fmt: skip
    codes = np.sort(generator.integers(0, N_USERS, N_ROWS))
    starts = np.searchsorted(codes, np.arange(N_USERS + 1))
    log_times = np.concatenate([np.sort(generator.integers(0, END_MS, n)) for n in np.diff(starts)])
    names = tuple(f"u{place}" for place in range(N_USERS))
    log = Interactions(
        names, starts, generator.integers(0, N_ITEMS, N_ROWS), generator.integers(1, 9, N_ROWS), log_times,
        generator.integers(0, 30_000, N_ROWS), {name: place for place, name in enumerate(names)},
    )  # fmt: skip
    kinds = {
        name: {"kind": "AB"[place % 2], "same": "x", "again": "ba"[place % 2], "number": str(place)}
        for place, name in enumerate(names)
    }
    return SimpleNamespace(interactions=log, exposures=exposures, users=kinds, items=catalogue())


def asked(n: int = 60, seed: int = 1) -> Moments:
    generator = np.random.default_rng(seed)
    users = np.array([f"u{place}" for place in generator.integers(0, N_USERS + 2, n)], dtype=object)
    return Moments(users, generator.integers(0, N_ITEMS, n), np.full(n, "home", dtype=object),
                   np.sort(generator.integers(0, END_MS, n)))  # fmt: skip


def brute_force(
    training_set: Any, rows: Moments, same: Callable[[Any, int, int], bool], moment: Callable[[int], int]
) -> Any:
    """Return the sums of each row in plain loops: what was known at the moment that the row's time allows."""
    shown = training_set.exposures
    found = np.zeros((len(rows), N_SUMS))
    for row in range(len(rows)):
        for place in range(len(shown)):
            if not same(shown, place, row):
                continue
            at = moment(int(rows.times_ms[row]))
            found[row, 0] += shown.times_ms[place] < at
            found[row, 1:] += [shown.labels[head][place] and shown.known_ms[place] < at for head in Head]
    return found


def counts(columns: Any, statistics: Any, spec: Statistic) -> Any:
    return columns[:, statistics.names.index(f"{spec.name}_count")]


@pytest.mark.parametrize("spec", [BY_ITEM, BY_USER, BY_KIND])
def test_a_row_is_described_by_what_was_known_before_it(spec: Statistic) -> None:
    training_set, rows = made_up(), asked()
    counted = RowStatistics(training_set)
    blank = replace(counted.blank(until_ms=END_MS), specs=(spec,))
    kind = {user: values["kind"] for user, values in training_set.users.items()}
    same = {
        BY_ITEM: lambda shown, place, row: shown.items[place] == rows.items[row],
        BY_USER: lambda shown, place, row: shown.user_ids[place] == rows.user_ids[row],
        BY_KIND: lambda shown, place, row: (
            training_set.items.categories[shown.items[place]] == training_set.items.categories[rows.items[row]]
            and kind.get(shown.user_ids[place]) == kind.get(rows.user_ids[row])
        ),
    }[spec]

    def moment(time_ms: int) -> int:
        if spec.fixed:
            return END_MS - -(-(END_MS - time_ms) // SNAPSHOT_MS) * SNAPSHOT_MS
        return time_ms // MS_PER_HOUR * MS_PER_HOUR

    expected = brute_force(training_set, rows, same, moment)
    found = counted.columns(rows, blank, snapshots_to_ms=END_MS)
    assert found[:, 0] == pytest.approx(expected[:, 0])
    means = np.array(blank.means[Stream.EXPOSURES])
    rates = (expected[:, 1:] - expected[:, :1] * means) / (expected[:, :1] + spec.prior)
    assert found[:, 1:] == pytest.approx(rates, abs=1e-6)
    assert expected[:, 0].any()


def test_the_future_tells_nothing() -> None:
    training_set, rows = made_up(), asked()
    cut_ms = int(np.median(rows.times_ms))
    early = rows.take(rows.times_ms < cut_ms)
    turned = {
        head: np.where(training_set.exposures.known_ms >= cut_ms, 1 - values, values)
        for head, values in training_set.exposures.labels.items()
    }
    planted = SimpleNamespace(**vars(training_set) | {"exposures": replace(training_set.exposures, labels=turned)})
    blank = RowStatistics(training_set).blank(until_ms=END_MS)
    one, other = (RowStatistics(each).columns(early, blank, snapshots_to_ms=END_MS) for each in (training_set, planted))
    assert np.array_equal(one, other)
    assert not np.array_equal(
        *(RowStatistics(each).columns(rows, blank, snapshots_to_ms=END_MS) for each in (training_set, planted))
    )


def test_when_a_click_comes_tells_nothing_before_it() -> None:
    training_set, rows = made_up(), asked()
    cut_ms = int(np.median(rows.times_ms))
    early = rows.take(rows.times_ms < cut_ms)
    shown = training_set.exposures
    late = np.where(shown.known_ms >= cut_ms, shown.known_ms + MS_PER_DAY, shown.known_ms)
    delayed = SimpleNamespace(**vars(training_set) | {"exposures": replace(shown, known_ms=late)})
    blank = RowStatistics(training_set).blank(until_ms=END_MS)
    one, other = (RowStatistics(each).columns(early, blank, snapshots_to_ms=END_MS) for each in (training_set, delayed))
    assert np.array_equal(one, other)


def test_a_table_and_what_came_since_are_what_all_rows_say() -> None:
    training_set, rows = made_up(), asked()
    counted = RowStatistics(training_set)
    specs = (BY_ITEM, BY_KIND, DONE_BY_ITEM)
    table = counted.table(until_ms=4 * MS_PER_DAY, specs=specs)
    late = rows.take(rows.times_ms >= 4 * MS_PER_DAY)
    blank = replace(counted.blank(until_ms=4 * MS_PER_DAY), specs=specs)
    assert counted.columns(late, table) == pytest.approx(counted.columns(late, blank), abs=1e-5)


def test_what_is_fixed_stays_as_the_table_has_it() -> None:
    training_set, rows = made_up(), asked()
    counted = RowStatistics(training_set)
    table = counted.table(until_ms=4 * MS_PER_DAY, specs=(BY_USER,))
    found = counts(counted.columns(rows, table), table, BY_USER)
    before = training_set.exposures.times_ms < 4 * MS_PER_DAY
    expected = [int((training_set.exposures.user_ids[before] == user).sum()) for user in rows.user_ids]
    assert found.tolist() == expected


def test_without_exposures_interactions_still_count() -> None:
    training_set = made_up()
    none = np.zeros(0, dtype=np.int64)
    training_set.exposures = Exposures(
        np.empty(0, dtype=object),
        none,
        none,
        none,
        np.empty(0, dtype=object),
        {head: none.astype(np.int8) for head in Head},
    )
    counted = RowStatistics(training_set)
    table = counted.table(until_ms=END_MS, specs=BASE_STATISTICS)
    found = counted.columns(asked(), table)
    assert not counts(found, table, BY_ITEM).any()
    assert counts(found, table, DONE_BY_ITEM).any()


def test_sums_before_leaves_out_the_moment_itself() -> None:
    keys = hash_texts(["a", "a", "b"])
    found = sums_before(
        keys, np.array([5, 7, 6]), np.eye(3), hash_texts(["a", "a", "a", "b", "c"]), np.array([5, 7, 8, 99, 99])
    )
    assert found.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]
