"""Where a report cannot lie, and that what lies there is strict JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from recloop.errors import ConfigurationError
from training.reports import check_writable, write_report


def test_file_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    check_writable(tmp_path / "new.json", tmp_path / "old.json", None)
    assert [file.name for file in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_place_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing is no folder\. Make it first"):
        check_writable(None, tmp_path / "missing" / "report.json")
    with pytest.raises(ConfigurationError, match=r"it is a folder\. Give a file in it"):
        check_writable(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_is_closed_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="may not be changed by this user"):
        check_writable(tmp_path / "report.json")


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    nothing = float("nan")
    write_report(tmp_path / "r.json", {"a": nothing, "b": [{"c": nothing, "d": 1.5}], "e": (float("inf"), 2), "f": "x"})
    found = json.loads((tmp_path / "r.json").read_text())
    assert found == {"a": None, "b": [{"c": None, "d": 1.5}], "e": [None, 2], "f": "x"}
