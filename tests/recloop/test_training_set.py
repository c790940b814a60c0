"""The columns of a training set: every feature the ranking reads, each once, and none that would tell the outcome."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recloop import training_set
from recloop.features import FEATURE_VIEWS, RANKING_V1
from recloop.labels import Head
from recloop.tables import CLEAN_EVENTS, Column
from recloop.training_set import (
    EXAMPLE_COLUMNS,
    EXPOSURE_COLUMNS,
    INTERACTION_COLUMNS,
    ITEM_COLUMNS,
    codes,
    ms,
    write_folder,
)

LISTS = [name for name in vars(training_set) if name.endswith("_COLUMNS")]


def test_there_are_lists_of_columns() -> None:
    assert {"EXAMPLE_COLUMNS", "INTERACTION_COLUMNS", "ITEM_COLUMNS", "USER_COLUMNS", "POPULARITY_COLUMNS"} <= set(
        LISTS
    )


@pytest.mark.parametrize("name", LISTS)
def test_no_column_stands_twice(name: str) -> None:
    columns = [str(column) for column in getattr(training_set, name)]
    assert sorted(columns) == sorted(set(columns))


def test_every_head_has_its_label() -> None:
    assert set(Head) <= set(EXAMPLE_COLUMNS) & set(EXPOSURE_COLUMNS)


def test_examples_hold_what_the_ranking_service_reads_and_no_other_feature() -> None:
    features = {name for view in FEATURE_VIEWS for name in view.names}
    read = [name for view in RANKING_V1.views for name in RANKING_V1.names(view)]
    assert [column for column in EXAMPLE_COLUMNS if column in features] == read
    assert "user_seen_items" not in EXAMPLE_COLUMNS


def test_examples_say_nothing_that_is_known_only_after_the_moment() -> None:
    # How long an item was looked at is the outcome itself; when it was ingested depends on it.
    later = {Column.ACTION, Column.DWELL_MS, Column.INGEST_TIME}
    assert later <= set(CLEAN_EVENTS.columns)
    assert not later & set(EXAMPLE_COLUMNS)


def test_times_are_written_in_milliseconds_under_names_that_say_so() -> None:
    timestamps = {Column.EVENT_TIME, Column.PUBLISHED_AT, Column.UPDATED_AT, Column.CREATED_AT, Column.FEATURE_TIME}
    for columns in (EXAMPLE_COLUMNS, INTERACTION_COLUMNS, ITEM_COLUMNS):
        assert not timestamps & set(columns)
    assert ms(Column.EVENT_TIME) in set(EXAMPLE_COLUMNS) & set(INTERACTION_COLUMNS)


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "sets" / "one"
    write_folder(out, {"old": pa.table({"x": [1]})}, {})
    write_folder(out, {"new": pa.table({"x": [1]})}, {"n": 1})
    assert {path.name for path in out.iterdir()} == {"new.parquet", "snapshot.json"}
    assert [path.name for path in out.parent.iterdir()] == ["one"]


def test_texts_in_a_dictionary_are_texts_to_readers(tmp_path: Path) -> None:
    texts = pa.array([["a", "b"], [], ["a"]], pa.list_(pa.string()))
    encoded = pa.ListArray.from_arrays(texts.offsets, texts.values.dictionary_encode())
    write_folder(tmp_path / "set", {"plain": pa.table({"x": texts}), "encoded": pa.table({"x": encoded})}, {})
    plain, found = (pq.read_table(tmp_path / "set" / f"{name}.parquet") for name in ("plain", "encoded"))
    assert found == plain
    assert found["x"].to_pylist() == [["a", "b"], [], ["a"]]


def test_codes_count_the_distinct_values_in_order() -> None:
    values, places = codes(pa.chunked_array([["b", "a"], ["é", "b"]]))
    assert values.tolist() == ["a", "b", "é"]
    assert places.tolist() == [1, 0, 2, 1]


def test_codes_of_an_empty_column_are_empty() -> None:
    values, places = codes(pa.chunked_array([], pa.string()))
    assert (len(values), len(places)) == (0, 0)
