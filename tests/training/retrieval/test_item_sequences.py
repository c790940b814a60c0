"""Sequence files: both forms of the test file, and what is wrong with a file, by name and line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from recloop.errors import SourceError
from training.retrieval.item_sequences import read_sequences, read_targets

TRAIN = "7 10\n7 2\n3 2\n7 5\n"


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.txt"
    path.write_text(TRAIN)
    return path


def test_items_of_a_user_keep_their_order_wherever_the_lines_lie(train: Path) -> None:
    sequences = read_sequences(train)
    assert sequences.user_ids == ("7", "3")
    assert sequences.item_ids == ("2", "5", "10")
    assert [rows.tolist() for rows in sequences.items] == [[2, 0, 1], [0]]


def test_gzipped_file_reads_the_same(train: Path, tmp_path: Path) -> None:
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(gzip.compress(TRAIN.encode()))
    assert read_sequences(packed).item_ids == read_sequences(train).item_ids


def test_held_back_is_the_last_item_of_who_has_two(train: Path) -> None:
    shorter, last = read_sequences(train).held_back()
    assert shorter.user_ids == ("7",)
    assert shorter.items[0].tolist() == [2, 0]
    assert last.tolist() == [1]


@pytest.mark.parametrize("text", ["3 10\n7 99\n", "99\n10\n"])
def test_both_forms_of_a_test_file_give_the_same_and_an_unseen_item_is_none(
    train: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "test.txt").write_text(text)
    assert read_targets(tmp_path / "test.txt", read_sequences(train)).tolist() == [-1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7 10\n", "no item for 1 users of the training file, such as 3"),
        ("7 10\n7 2\n3 2\n", "line 2: found '7 2'"),
        ("8 10\n3 2\n", "line 1: found '8 10'"),
        ("7 10 4\n3 2\n", "line 1: found '7 10 4'"),
        ("10\n", "has 1 items, the training file has 2 users"),
        ("", "no item for 2 users"),
    ],
)
def test_bad_test_file_is_refused(train: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "test.txt").write_text(text)
    with pytest.raises(SourceError, match=message):
        read_targets(tmp_path / "test.txt", read_sequences(train))


def test_bad_training_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    with pytest.raises(SourceError, match="cannot be read"):
        read_sequences(path)
    path.write_text("\n")
    with pytest.raises(SourceError, match="no line"):
        read_sequences(path)
    path.write_text("1 2\n1::2\n")
    with pytest.raises(SourceError, match="line 2: found '1::2'"):
        read_sequences(path)
    cut = tmp_path / "train.txt.gz"
    cut.write_bytes(gzip.compress(TRAIN.encode() * 100)[:40])
    with pytest.raises(SourceError, match="cannot be read to its end"):
        read_sequences(cut)
