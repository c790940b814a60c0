from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recloop.labels import Head
from recloop.ranking import Context, Items, UserState
from recloop.statistics import (
    N_SUMS,
    Part,
    Statistic,
    Statistics,
    Stream,
    hash_text,
    hash_texts,
    keys_of,
    mix,
)
from tests.recloop.conftest import tiny_items

BY_ITEM = Statistic(Stream.EXPOSURES, (Part.ITEM,), 20)
BY_USER_SURFACE = Statistic(Stream.EXPOSURES, (Part.USER, Part.SURFACE), 3)
BY_KIND = Statistic(Stream.INTERACTIONS, (Part.CATEGORY, "vip"), 10)


@pytest.fixture
def items() -> Items:
    return tiny_items()


def key(statistic: Statistic, **values: str | None) -> np.uint64:
    return np.uint64(keys_of(statistic, lambda part: np.array([hash_text(values[part])], dtype=np.uint64))[0])


def statistics(sums: dict[np.uint64, list[float]], *specs: Statistic) -> Statistics:
    keys = np.array(sorted(sums), dtype=np.uint64)
    means = {Stream.EXPOSURES: [0.5, 0.2, 0.1, 0.0], Stream.INTERACTIONS: [0.25, 0.0, 0.0, 0.0]}
    values = np.array([sums[each] for each in keys], dtype=np.float32).reshape(-1, N_SUMS)
    return Statistics(specs, keys, values, means, until_ms=1_000)


def test_a_request_is_described_by_its_items_and_by_its_user(items: Items) -> None:
    table = statistics(
        {
            key(BY_ITEM, item=items.ids[1]): [20, 18, 0, 2, 0],
            key(BY_USER_SURFACE, user="u", surface="home"): [3, 0, 0, 0, 0],
        },
        BY_ITEM,
        BY_USER_SURFACE,
    )
    found = table.columns(UserState("u"), items, np.array([0, 1]), context=Context(0, "home"))
    values = dict(zip(table.names, found.T, strict=True))
    assert values["exposures_by_item_count"].tolist() == [0, 20]
    assert values["exposures_by_item_click"] == pytest.approx([0, (18 - 20 * 0.5) / 40])
    assert values["exposures_by_item_like"] == pytest.approx([0, 0])
    assert values["exposures_by_user_surface_click"] == pytest.approx([(0 - 1.5) / 6] * 2)
    elsewhere = table.columns(UserState("u"), items, np.array([0]), context=Context(0, "search"))
    assert elsewhere[0].tolist() == [0.0] * len(table.names)


def test_kinds_of_users_come_from_attributes_and_profile(items: Items) -> None:
    category = next(names[0] for names in items.categories if names)
    row = next(place for place, names in enumerate(items.categories) if names)
    table = statistics({key(BY_KIND, category=category, vip="yes"): [10, 10, 0, 0, 0]}, BY_KIND)
    context, rows = Context(0), np.array([row])
    known = table.columns(UserState("u", attributes={"vip": "yes"}), items, rows, context=context)
    assert known[0, :2] == pytest.approx([10, (10 - 2.5) / 20])
    assert table.columns(UserState("u", attributes={"vip": "no"}), items, rows, context=context)[0, 0] == 0
    by_segment = Statistic(Stream.EXPOSURES, (Part.ITEM, "segment"), 1)
    table = statistics({key(by_segment, item=items.ids[0], segment="young"): [4, 4, 0, 0, 0]}, by_segment)
    assert table.columns(UserState("u", segment="young"), items, np.array([0]), context=context)[0, 0] == 4


def test_an_empty_table_knows_nothing(items: Items) -> None:
    table = statistics({}, BY_ITEM)
    assert not table.columns(UserState("u"), items, np.array([0, 2]), context=Context(0)).any()


def test_what_is_saved_is_read(tmp_path: Path, items: Items) -> None:
    specs = (BY_ITEM, BY_USER_SURFACE, Statistic(Stream.EXPOSURES, (Part.ITEM, "a/b, c=d"), 10))
    table = statistics({key(BY_ITEM, item=items.ids[0]): [7, 3, 2, 1, 0]}, *specs)
    table.save(tmp_path / "statistics.npz")
    read = Statistics.load(tmp_path / "statistics.npz")
    assert (read.specs, read.names, read.means, read.until_ms) == (table.specs, table.names, table.means, 1_000)
    rows = np.arange(3)
    for each in (UserState("u"), UserState("v", attributes={"a/b, c=d": "1"})):
        expected = table.columns(each, items, rows, context=Context(0))
        assert np.array_equal(read.columns(each, items, rows, context=Context(0)), expected)


def test_only_statistics_of_users_are_fixed() -> None:
    assert [each.fixed for each in (BY_USER_SURFACE, BY_ITEM, BY_KIND)] == [True, False, False]


def test_a_column_per_statistic_and_head() -> None:
    assert statistics({}, BY_ITEM).names == tuple(
        f"exposures_by_item_{what}" for what in ("count", *(str(head) for head in Head))
    )


def test_hashes_are_the_same_in_every_process_and_tell_texts_apart() -> None:
    assert (hash_text("a"), hash_text("b")) == (4681665781835383343, 9543904841865449333)
    many = hash_texts([f"item {place}" for place in range(50_000)] + [None, ""])
    assert len(np.unique(many)) == 50_002
    pairs = mix(np.repeat(many[:200], 200), np.tile(many[:200], 200))
    assert len(np.unique(pairs)) == 40_000
    assert mix(many[:1], many[1:2]) != mix(many[1:2], many[:1])
