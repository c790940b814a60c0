"""A folder that is not what it should be is refused with file, column and count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recloop.attributes import USER_ATTRIBUTES
from recloop.errors import TrainingError
from recloop.tables import Column
from recloop.training_set import TrainingFile, ms
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set

Change = Callable[[pa.Table], pa.Table]


def change(folder: Path, file: TrainingFile, by: Change) -> None:
    path = folder / file
    table = by(pq.read_table(path))
    pq.write_table(table, path)


def replace(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_whole_folder_is_read(training_set: TrainingSet) -> None:
    assert len(training_set.items) == 60
    assert len(training_set.examples) > 1_000
    assert training_set.examples.sampled.any()
    assert not training_set.examples.sampled.all()


def test_item_sums_are_aged_to_the_holdout(folder: Path, training_set: TrainingSet) -> None:
    table = pq.read_table(folder / TrainingFile.ITEMS)
    row = int(np.argmin(table["item_feature_ms"].to_numpy()))
    days = (training_set.split.holdout_ms - table["item_feature_ms"][row].as_py()) / 86_400_000
    assert days > 0
    expected = table["item_touches"][row].as_py() * 0.5 ** (days / 30)
    assert training_set.items.numbers[row, 0] == pytest.approx(expected)


TEXTS = [None, [], ["a=1"], ["a=2"], ["a=1", "größe=süß", "x=y=z"]]
ATTRIBUTES = [{}, {}, {"a": "1"}, {"a": "2"}, {"a": "1", "größe": "süß", "x": "y=z"}]


@pytest.mark.parametrize("in_dictionary", [False, True], ids=["plain", "in_dictionary"])
def test_each_row_has_the_attributes_known_by_then(broken_folder: Path, in_dictionary: bool) -> None:
    path = broken_folder / TrainingFile.EXAMPLES
    table = pq.read_table(path).sort_by([(ms(Column.EVENT_TIME), "ascending"), (Column.USER_ID, "ascending")])
    # Every user's change from row to row, so nothing but the row tells; and they change within a row group.
    texts = pa.array([TEXTS[row % len(TEXTS)] for row in range(len(table))], pa.list_(pa.string()))
    table = table.set_column(table.column_names.index(USER_ATTRIBUTES), USER_ATTRIBUTES, texts)
    pq.write_table(table, path, row_group_size=501, use_dictionary=in_dictionary)
    assert pq.read_metadata(path).num_row_groups > 2
    training_set = read_training_set(broken_folder)
    found = training_set.examples.attributes
    assert found.tolist() == [ATTRIBUTES[row % len(TEXTS)] for row in range(len(table))]
    assert len({id(mapping) for mapping in found}) == 4, "rows with the same attributes share theirs"
    assert [training_set.user_state(row).attributes for row in range(5)] == ATTRIBUTES


@pytest.mark.parametrize("file", [name for name in TrainingFile if name != TrainingFile.USERS])
def test_missing_file_is_named(broken_folder: Path, file: TrainingFile) -> None:
    (broken_folder / file).unlink()
    with pytest.raises(TrainingError, match=file):
        read_training_set(broken_folder)


def test_truncated_file_is_named(broken_folder: Path) -> None:
    path = broken_folder / TrainingFile.EXAMPLES
    path.write_bytes(path.read_bytes()[:5_000])
    with pytest.raises(TrainingError, match=r"examples\.parquet cannot be read"):
        read_training_set(broken_folder)


def test_missing_column_is_named(broken_folder: Path) -> None:
    change(broken_folder, TrainingFile.EXAMPLES, lambda table: table.drop_columns(["user_touches"]))
    with pytest.raises(TrainingError, match=r"examples\.parquet lacks the column user_touches"):
        read_training_set(broken_folder)


@pytest.mark.parametrize("file", [TrainingFile.EXAMPLES, TrainingFile.USERS])
def test_missing_attributes_are_named(broken_folder: Path, file: TrainingFile) -> None:
    change(broken_folder, file, lambda table: table.drop_columns([USER_ATTRIBUTES]))
    with pytest.raises(TrainingError, match=rf"{file} lacks the column user_attributes"):
        read_training_set(broken_folder)


def test_empty_file_is_named(broken_folder: Path) -> None:
    change(broken_folder, TrainingFile.EXAMPLES, lambda table: table.slice(0, 0))
    with pytest.raises(TrainingError, match=r"examples\.parquet is empty"):
        read_training_set(broken_folder)


def test_nan_feature_is_named_and_counted(broken_folder: Path) -> None:
    def spoil(table: pa.Table) -> pa.Table:
        values = table["item_click_rate"].to_numpy().copy()
        values[:3] = np.nan
        return replace(table, "item_click_rate", values)

    change(broken_folder, TrainingFile.EXAMPLES, spoil)
    with pytest.raises(TrainingError, match=r"examples\.parquet, column item_click_rate: 3 of \d+ values are NaN"):
        read_training_set(broken_folder)


def test_item_named_twice_is_counted(broken_folder: Path) -> None:
    change(broken_folder, TrainingFile.ITEMS, lambda table: pa.concat_tables([table, table.slice(0, 2)]))
    with pytest.raises(TrainingError, match="2 of 62 items are named twice"):
        read_training_set(broken_folder)


def test_example_of_an_unknown_item_is_refused(broken_folder: Path) -> None:
    change(broken_folder, TrainingFile.ITEMS, lambda table: table.filter(pc.not_equal(table[Column.ITEM_ID], "i00")))
    with pytest.raises(TrainingError, match=r"names 1 items that items\.parquet lacks, i00"):
        read_training_set(broken_folder)


def test_unsorted_interactions_are_refused(broken_folder: Path) -> None:
    change(broken_folder, TrainingFile.INTERACTIONS, lambda table: table.take(list(range(len(table)))[::-1]))
    with pytest.raises(TrainingError, match="not sorted by user and time"):
        read_training_set(broken_folder)


def test_other_feature_contract_is_refused(broken_folder: Path) -> None:
    path = broken_folder / TrainingFile.SNAPSHOT
    path.write_text(json.dumps(json.loads(path.read_text()) | {"contract_id": "0" * 16}))
    with pytest.raises(TrainingError, match="names feature contract 0000000000000000"):
        read_training_set(broken_folder)
