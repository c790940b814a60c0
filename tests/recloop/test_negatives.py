"""Sampled negatives know nothing of the future and depend on no other row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recloop.clock import MS_PER_DAY
from recloop.labels import Head
from recloop.negatives import PER_POSITIVE, Log, sample_negatives, with_negatives

N_ITEMS, N_USERS, N_ROWS = 40, 6, 400
DAY_2 = 2 * MS_PER_DAY


@pytest.fixture
def log() -> Log:
    draw = np.random.default_rng(0)
    # Item i appears on day i // 4 first, and low items are popular.
    items = np.minimum(draw.geometric(0.08, N_ROWS) - 1, N_ITEMS - 1)
    days = items // 4 + draw.integers(0, 10, N_ROWS)
    return Log(draw.integers(0, N_USERS, N_ROWS), items, days * MS_PER_DAY + 5, N_ITEMS)


def sample(log: Log, rows: np.ndarray, seed: int = 1) -> dict[str, list[int]]:
    """Return label id → its negatives, for positives out of rows of the log."""
    labels = [f"l{row}" for row in rows]
    row, item = sample_negatives(log, label_ids=labels, users=log.users[rows], times_ms=log.times_ms[rows], seed=seed)
    return {label: item[row == place].tolist() for place, label in enumerate(labels)}


def test_negative_was_there_by_then_and_never_touched_by_its_user(log: Log) -> None:
    rows = np.arange(0, N_ROWS, 3)
    drawn = sample(log, rows)
    assert sum(map(len, drawn.values())) > 100
    touched = set(zip(log.users.tolist(), log.items.tolist(), strict=True))
    for place in rows:
        day = log.times_ms[place] // MS_PER_DAY
        seen = set(log.items[log.times_ms // MS_PER_DAY < day].tolist())
        for item in drawn[f"l{place}"]:
            assert item in seen
            assert (int(log.users[place]), item) not in touched


def test_negatives_of_a_row_are_distinct_and_at_most_so_many(log: Log) -> None:
    for items in sample(log, np.arange(N_ROWS)).values():
        assert len(items) == len(set(items)) <= PER_POSITIVE


def test_row_draws_the_same_alone_and_among_others(log: Log) -> None:
    together, alone = sample(log, np.arange(200, 300)), sample(log, np.array([250]))
    assert alone["l250"]
    assert alone["l250"] == together["l250"]


def test_another_seed_draws_others(log: Log) -> None:
    rows = np.arange(200, 300)
    assert sample(log, rows, seed=1) != sample(log, rows, seed=2)


def test_later_events_of_others_do_not_change_a_draw(log: Log) -> None:
    on_day_8 = np.flatnonzero(log.times_ms // MS_PER_DAY == 8)
    place, before = next((at, drawn) for at in on_day_8 if (drawn := sample(log, np.array([at])))[f"l{at}"])
    # Item 39 becomes the most popular of all, after that day, by a user of its own.
    grown = Log(
        np.append(log.users, [N_USERS] * 1_000),
        np.append(log.items, [39] * 1_000),
        np.append(log.times_ms, [9 * MS_PER_DAY] * 1_000),
        N_ITEMS,
    )
    assert before[f"l{place}"]
    assert sample(grown, np.array([place])) == before


def test_first_day_of_the_log_has_no_negatives(log: Log) -> None:
    place = int(np.argmin(log.times_ms))
    assert sample(log, np.array([place])) == {f"l{place}": []}


def test_popular_items_are_drawn_more_often() -> None:
    # One user to draw for; item 0 was met 81 times, item 1 once: shares 81 ^ 0.75 = 27 to 1.
    log = Log(np.full(82, 1), np.array([0] * 81 + [1]), np.zeros(82, dtype=np.int64), 2)
    labels = [str(number) for number in range(2_000)]
    zeros = np.zeros(2_000, dtype=np.int64)
    rows, items = sample_negatives(log, label_ids=labels, users=zeros, times_ms=zeros + MS_PER_DAY, seed=1)
    first = items[np.unique(rows, return_index=True)[1]]
    assert np.mean(first == 0) == pytest.approx(27 / 28, abs=0.02)


def label(
    label_id: str, user: str, item: str, *, click: int, origin: str = "organic", position: int | None = 3
) -> dict[str, Any]:
    return {
        "label_id": label_id, "origin": origin, "event_time_ms": DAY_2, "user_id": user, "item_id": item,
        "slate_id": "s", "position": position, "propensity": 0.5, "surface": "home", "device": "web",
        "click": click, "long_view": 0, "like": click, "hide": 1 - click,
    }  # fmt: skip


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    labels = pa.Table.from_pylist(
        [
            label("a", "u", "i0", click=1),
            label("b", "v", "i1", click=0),
            label("c", "u", "i2", click=1, origin="impression"),
        ]
    )
    heads = [str(head) for head in Head]
    labels = labels.cast(
        pa.schema([each.with_type(pa.int32()) if each.name in {*heads, "position"} else each for each in labels.schema])
    )
    others = [{"user_id": "w", "item_id": f"i{n}", "event_time_ms": n} for n in range(10)]
    own = [{"user_id": "u", "item_id": f"i{n}", "event_time_ms": DAY_2} for n in (0, 9)]
    return with_negatives(labels, pa.Table.from_pylist(others + own), seed=1).to_pylist()


def test_clicked_organic_row_gets_negatives_and_others_none(rows: list[dict[str, Any]]) -> None:
    sampled = [(row["label_id"], row["sampled"]) for row in rows]
    assert sampled == [("a", False), *[("a", True)] * 4, ("b", False), ("c", False)]


def test_negative_is_another_item_at_the_same_moment_with_nothing_positive(rows: list[dict[str, Any]]) -> None:
    negatives = [row for row in rows if row["sampled"]]
    assert len({row["item_id"] for row in negatives}) == 4
    for row in negatives:
        # u touched i0 and i9, at whatever time.
        assert row["item_id"] in {f"i{n}" for n in range(1, 9)}
        assert (row["user_id"], row["event_time_ms"], row["slate_id"]) == ("u", DAY_2, "s")
        assert [row[head] for head in Head] == [0, 0, 0, 0]


def test_negative_had_no_place_in_the_slate(rows: list[dict[str, Any]]) -> None:
    assert {(row["position"], row["propensity"]) for row in rows if row["sampled"]} == {(None, None)}
    assert {(row["position"], row["propensity"]) for row in rows if not row["sampled"]} == {(3, 0.5)}
