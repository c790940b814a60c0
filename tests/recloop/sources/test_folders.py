"""Files are found where an archive puts them, and nothing is guessed where there are several."""

from __future__ import annotations

from pathlib import Path

import pytest

from recloop.errors import SourceError
from recloop.sources.folders import find_file, find_home


def holds(folder: Path) -> bool:
    return (folder / "log.csv").exists()


def with_log(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.csv").touch()
    return folder


@pytest.mark.parametrize("inside", ["", "archive", "archive/data"])
def test_folder_may_lie_two_levels_below(tmp_path: Path, inside: str) -> None:
    home = with_log(tmp_path / inside)
    (tmp_path / "other" / "empty").mkdir(parents=True)
    assert find_home(tmp_path, holds) == home


def test_nearest_folder_goes_first(tmp_path: Path) -> None:
    with_log(tmp_path / "a" / "b")
    assert find_home(tmp_path, holds) == tmp_path / "a" / "b"
    with_log(tmp_path / "c")
    assert find_home(tmp_path, holds) == tmp_path / "c"
    with_log(tmp_path)
    assert find_home(tmp_path, holds) == tmp_path


def test_several_folders_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with_log(tmp_path / name)
    with pytest.raises(SourceError, match=r"holds 2 data sets: .*/one, .*/two\. Name one of them"):
        find_home(tmp_path, holds)


def test_folder_without_the_files_is_its_own_home(tmp_path: Path) -> None:
    with_log(tmp_path / "a" / "b" / "too deep")
    assert find_home(tmp_path, holds) == tmp_path


def test_plain_file_goes_before_the_gzipped(tmp_path: Path) -> None:
    assert find_file(tmp_path, "log.csv") is None
    (tmp_path / "log.csv.gz").touch()
    assert find_file(tmp_path, "log.csv") == tmp_path / "log.csv.gz"
    (tmp_path / "log.csv").touch()
    assert find_file(tmp_path, "log.csv") == tmp_path / "log.csv"
