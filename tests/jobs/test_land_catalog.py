"""The catalogue: newest row per id, bad rows counted and kept out, profiles as a change log."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs.etl.land_catalog import land_catalog
from recloop.attributes import MAX_ATTRIBUTES, USER_ATTRIBUTES, attribute_texts, parse_attributes
from recloop.clock import EPOCH, format_time
from recloop.errors import SourceError
from recloop.features import USER_PROFILE
from recloop.tables import ITEMS, USERS
from tests.lake import DAY_0

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]


def write(folder: Path, name: str, *rows: dict[str, Any] | str) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def titles(spark: SparkSession) -> dict[str, str]:
    return {row["item_id"]: row["title"] for row in spark.table(ITEMS.full_name).collect()}


def test_bad_rows_are_counted_and_kept_out(
    empty_lake: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"item_id": "1", "title": "Ä", "categories": ["war"], "attributes": {"year": "1995"}, "duration_ms": 5}
    write(tmp_path, "items.jsonl", good, {"title": "no id"}, {"item_id": " "}, "{torn", "[1]")
    outcome = land_catalog(empty_lake, tmp_path, now=DAY_0)
    assert outcome.details["items"] == {"rows_in": 5, "bad": 4, "repeated": 0, "rows_out": 1}
    assert "items.jsonl: 4 of 5 rows have no item_id" in capsys.readouterr().out
    row = empty_lake.table(ITEMS.full_name).first()
    assert row is not None
    found = row.asDict() | {"updated_at": row["updated_at"].replace(tzinfo=DAY_0.tzinfo)}
    assert {name: found[name] for name in good} == good
    assert (found["author_id"], found["updated_at"]) == (None, EPOCH)


def test_newest_row_of_an_id_stays_within_and_across_files(empty_lake: SparkSession, tmp_path: Path) -> None:
    old, new = format_time(DAY_0), format_time(DAY_0 + timedelta(days=1))
    write(
        tmp_path, "items.jsonl",
        {"item_id": "1", "title": "new", "updated_at": new}, {"item_id": "1", "title": "old", "updated_at": old},
    )  # fmt: skip
    assert land_catalog(empty_lake, tmp_path, now=DAY_0).details["items"]["repeated"] == 1
    assert titles(empty_lake) == {"1": "new"}
    write(tmp_path, "items.jsonl", {"item_id": "1", "title": "stale", "updated_at": old}, {"item_id": "2"})
    land_catalog(empty_lake, tmp_path, now=DAY_0 + timedelta(hours=1))
    assert titles(empty_lake) == {"1": "new", "2": None}
    write(tmp_path, "items.jsonl", {"item_id": "1", "title": "landed last", "updated_at": new})
    land_catalog(empty_lake, tmp_path, now=DAY_0 + timedelta(hours=2))
    assert titles(empty_lake)["1"] == "landed last"


def test_profiles_keep_their_history_and_a_rerun_adds_nothing(empty_lake: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "users.jsonl", {"user_id": "u", "segment": "x"})
    land_catalog(empty_lake, tmp_path, now=DAY_0)
    write(tmp_path, "users.jsonl", {"user_id": "u", "segment": "y", "updated_at": format_time(DAY_0)})
    for hour in (1, 2):
        land_catalog(empty_lake, tmp_path, now=DAY_0 + timedelta(hours=hour))
    rows = empty_lake.table(USER_PROFILE.table.full_name).orderBy("feature_time").collect()
    assert [row["segment"] for row in rows] == ["x", "y"]
    assert [row["segment"] for row in empty_lake.table(USERS.full_name).collect()] == ["y"]


def test_attributes_become_the_texts_of_the_kernel(empty_lake: SparkSession, tmp_path: Path) -> None:
    users: dict[str, dict[str, str] | None] = {
        "none": None,
        "empty": {},
        "several": {"b": "x=y", "a": "1", "a!": "2", "süß": "ä b", "unknown": "", "no=name": "3"},
        "many": {f"name {place}": "v" * 100 for place in range(MAX_ATTRIBUTES + 5)},
    }
    rows = [{"user_id": name} | ({} if own is None else {"attributes": own}) for name, own in users.items()]
    write(tmp_path, "users.jsonl", *rows)
    land_catalog(empty_lake, tmp_path, now=DAY_0)
    found = {row["user_id"]: row[USER_ATTRIBUTES] for row in empty_lake.table(USER_PROFILE.table.full_name).collect()}
    assert found == {name: attribute_texts(own) for name, own in users.items()}
    assert parse_attributes(found["several"]) == {"b": "x=y", "a": "1", "a!": "2", "süß": "ä b"}


def test_missing_folder_is_named(empty_lake: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere is no folder; expected one with items\.jsonl and users\.jsonl"):
        land_catalog(empty_lake, tmp_path / "nowhere", now=DAY_0)
