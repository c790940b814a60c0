"""Copies of users: whose, how many, under which ids; and how costs grow with rows."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from zlib import crc32

import pytest

from benchmarks.growth import copy_users, exponent, main

USERS = [str(number) for number in range(200)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with two rows per user, the same as .gz with the user in another place, and a file without users."""
    made = tmp_path / "data"
    made.mkdir()
    rows = [[user, item] for user in USERS for item in ("a", "b")]
    write(made / "log.csv", [["user_id", "video_id"], *rows])
    write(made / "other.csv.gz", [["video_id", "user_id"], *([item, user] for user, item in rows)])
    write(made / "videos.csv", [["video_id", "title"], ["a", "One, two"]])
    (made / "README.md").write_text("left out")
    return made


def write(path: Path, rows: list[list[str]]) -> None:
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        csv.writer(file).writerows(rows)


def read(path: Path) -> list[list[str]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
        return [*csv.reader(file)]


def test_each_user_is_there_as_often_as_asked_under_other_ids(folder: Path, tmp_path: Path) -> None:
    copy_users(folder, tmp_path / "copied", share=1.0, times=3)
    header, *rows = read(tmp_path / "copied" / "log.csv")
    assert header == ["user_id", "video_id"]
    assert sorted(rows) == sorted([f"{user}{copy}", item] for user in USERS for copy in range(3) for item in "ab")


def test_ids_of_copies_never_meet(folder: Path, tmp_path: Path) -> None:
    copy_users(folder, tmp_path / "copied", share=1.0, times=2)
    users = [user for user, _ in read(tmp_path / "copied" / "log.csv")[1:]]
    # 1 and 11, 10 and 110, … : a copy's digit stands behind every id
    assert len(set(users)) == 2 * len(USERS)


def test_share_is_of_the_same_users_in_every_file(folder: Path, tmp_path: Path) -> None:
    copy_users(folder, tmp_path / "copied", share=0.25, times=1)
    chosen = {f"{user}0" for user in USERS if crc32(user.encode()) / 2**32 < 0.25}
    assert len(USERS) / 8 < len(chosen) < len(USERS) / 2
    assert {user for user, _ in read(tmp_path / "copied" / "log.csv")[1:]} == chosen
    assert {user for _, user in read(tmp_path / "copied" / "other.csv.gz")[1:]} == chosen


def test_files_without_users_are_copied_whole_and_other_files_not_at_all(folder: Path, tmp_path: Path) -> None:
    copy_users(folder, tmp_path / "copied", share=0.0, times=4)
    assert read(tmp_path / "copied" / "videos.csv") == read(folder / "videos.csv")
    assert read(tmp_path / "copied" / "log.csv") == [["user_id", "video_id"]]
    assert sorted(path.name for path in (tmp_path / "copied").iterdir()) == ["log.csv", "other.csv.gz", "videos.csv"]


@pytest.mark.parametrize(
    ("seconds", "power"),
    [([5.0, 10.0, 20.0], 1.0), ([5.0, 5.0, 5.0], 0.0), ([1.0, 4.0, 16.0], 2.0), ([5.0], None)],
)
def test_exponent_is_the_slope_of_the_logarithms(seconds: list[float], power: float | None) -> None:
    sizes = [{"rows_in": 100 * 2**place, "cpu_seconds": spent} for place, spent in enumerate(seconds)]
    assert exponent(sizes) == power


def test_equal_sizes_have_no_exponent() -> None:
    assert exponent([{"rows_in": 100, "cpu_seconds": 5.0}] * 2) is None


def test_source_whose_files_cannot_be_copied_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", "movielens", "--until", "2022-04-26", "--out", str(tmp_path / "r.json")]
    assert main(options) == 1
    assert "--data is 'movielens'; expected kuairand:DIR, whose files can be copied." in capsys.readouterr().err
