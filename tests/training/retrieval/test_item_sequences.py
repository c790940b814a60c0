"""Sequence files: both forms of the test file, and what is wrong with a file, by name and line."""

from __future__ import annotations

import gzip
import zlib
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
    assert last.tolist() == [-1], "5 is in no history that is left"


def test_held_back_item_that_another_history_has_is_known(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(TRAIN + "3 5\n3 10\n")
    shorter, last = read_sequences(tmp_path / "train.txt").held_back()
    assert [shorter.item_ids[row] for row in last] == ["5", "10"]


def test_numbers_come_in_their_order_however_long_they_are(tmp_path: Path) -> None:
    long = "9" * 5_000  # more digits than Python turns into a number
    (tmp_path / "train.txt").write_text("\n".join(f"u {item}" for item in ("10", long, "b", "2")))
    assert read_sequences(tmp_path / "train.txt").item_ids == ("b", "2", "10", long)


def test_byte_order_mark_is_no_part_of_the_first_user(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(TRAIN, encoding="utf-8-sig")
    assert read_sequences(tmp_path / "train.txt").user_ids == ("7", "3")


@pytest.mark.parametrize("text", ["3 10\n7 99\n", "99\n10\n"])
def test_both_forms_of_a_test_file_give_the_same_and_an_unseen_item_is_none(
    train: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "test.txt").write_text(text)
    ranked, targets = read_targets(tmp_path / "test.txt", read_sequences(train))
    assert ranked.user_ids == ("7", "3")
    assert targets.tolist() == [-1, 2]


def test_users_that_the_test_file_does_not_name_are_left_out(train: Path, tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("3 10\n")
    ranked, targets = read_targets(tmp_path / "test.txt", read_sequences(train))
    assert ranked.user_ids == ("3",)
    assert [rows.tolist() for rows in ranked.items] == [[0]]
    assert targets.tolist() == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7 10\n3 2\n7 2\n", "line 3: user 7 has an item already, 10"),
        ("7 10\n\n8 10\n9 2\n", "line 3: user 8 is not in the training file; that holds for 2 of the 3 lines"),
        ("7 10 4\n3 2\n", "line 1: found '7 10 4', expected `user item`"),
        ("7 10\n3\n", "line 2: found '3', expected `user item`"),
        ("10\n", "has 1 items, the training file has 2 users"),
        ("10\n2\n5\n", "has 3 items, the training file has 2 users"),
        ("", "has no line; expected `user item` lines, or one item per user"),
    ],
)
def test_bad_test_file_is_refused(train: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "test.txt").write_text(text)
    with pytest.raises(SourceError, match=f"test.txt {message}"):
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


PACKED = gzip.compress("".join(f"{user} {item}\n" for user in range(50) for item in range(user, 90)).encode())
STORED = gzip.compress(b"11 22\n" * 50, compresslevel=0)
DAMAGED = {
    "cut off": PACKED[:-20],
    "cut off within its checksum": PACKED[:-4],
    "another byte within": PACKED[:60] + bytes([PACKED[60] ^ 255]) + PACKED[61:],
    "another byte that makes lines of other words": STORED[:60] + b"\n" + STORED[61:],
    "another checksum": PACKED[:-8] + bytes(4) + PACKED[-4:],
    "not packed": TRAIN.encode(),
    "packed bytes that are no text": gzip.compress(b"1 \xff\n"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_gzip_file_is_named(train: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "damaged.txt.gz"
    path.write_bytes(DAMAGED[damage])
    with pytest.raises(SourceError, match=r"damaged\.txt\.gz cannot be read to its end: .* Copy or download it again"):
        read_sequences(path)
    with pytest.raises(SourceError, match=r"damaged\.txt\.gz cannot be read to its end"):
        read_targets(path, read_sequences(train))


def test_one_of_the_damages_is_the_error_that_is_no_oserror() -> None:
    with pytest.raises(zlib.error):
        gzip.decompress(DAMAGED["another byte within"])
