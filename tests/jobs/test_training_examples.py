"""Rows of a training set before their features: labels first, each with its negatives."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from jobs.etl.training_examples import with_negatives
from recloop.clock import MS_PER_DAY
from recloop.labels import Head

DAY_2 = 2 * MS_PER_DAY


def label(label_id: str, user: str, item: str, *, click: int, position: int | None = 3) -> dict[str, Any]:
    return {
        "label_id": label_id, "origin": "impression", "event_time_ms": DAY_2, "user_id": user, "item_id": item,
        "slate_id": "s", "position": position, "propensity": 0.5, "surface": "home", "device": "web",
        "click": click, "long_view": 0, "like": click, "hide": 1 - click,
    }  # fmt: skip


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    labels = pa.Table.from_pylist([label("a", "u", "i0", click=1), label("b", "v", "i1", click=0)])
    heads = [str(head) for head in Head]
    labels = labels.cast(
        pa.schema([each.with_type(pa.int32()) if each.name in {*heads, "position"} else each for each in labels.schema])
    )
    others = [{"user_id": "w", "item_id": f"i{n}", "event_time_ms": n} for n in range(10)]
    own = [{"user_id": "u", "item_id": f"i{n}", "event_time_ms": DAY_2} for n in (0, 9)]
    return with_negatives(labels, pa.Table.from_pylist(others + own), seed=1).to_pylist()


def test_clicked_row_gets_negatives_and_the_other_none(rows: list[dict[str, Any]]) -> None:
    assert [(row["label_id"], row["sampled"]) for row in rows] == [("a", False), *[("a", True)] * 4, ("b", False)]


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
