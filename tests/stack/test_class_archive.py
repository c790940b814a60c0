"""The class archive is there after set-up, is made once, and is done without where it cannot be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from recloop import lake
from stack import class_archive
from stack.class_archive import make_class_archive
from stack.places import CLASS_ARCHIVE, JAVA_HOME


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of a test's own, and a rehearsal that leaves a mark instead of starting Spark."""
    runs = tmp_path / "core"
    runs.write_text(f'#!/bin/sh\necho ran >> {tmp_path}/runs\necho classes > "$3"\n')
    runs.chmod(0o700)
    monkeypatch.setattr(class_archive, "CLASS_ARCHIVE", tmp_path / "spark.jsa")
    monkeypatch.setattr(class_archive, "INSTALLED_DIR", tmp_path)
    monkeypatch.setattr(class_archive, "python", lambda _: runs)
    return tmp_path


def test_set_up_left_an_archive_of_spark_where_sessions_look_for_it() -> None:
    assert CLASS_ARCHIVE == lake.CLASS_ARCHIVE
    assert CLASS_ARCHIVE.stat().st_size > 50_000_000


def test_archive_is_made_once(elsewhere: Path) -> None:
    make_class_archive()
    make_class_archive()
    assert (elsewhere / "runs").read_text() == "ran\n"
    assert (elsewhere / "spark.jsa").read_text() == "classes\n"


def test_another_java_makes_it_anew(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_class_archive()
    home = elsewhere / "java"
    (home / "lib" / "server").mkdir(parents=True)
    (home / "lib" / "server" / "classes.jsa").touch()
    (home / "release").write_text("another")
    monkeypatch.setattr(class_archive, "JAVA_HOME", home)
    make_class_archive()
    assert (elsewhere / "runs").read_text() == "ran\nran\n"


def test_failure_leaves_no_archive_and_says_where_its_log_is(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "core").write_text('#!/bin/sh\necho half > "$3"\nexit 1\n')
    make_class_archive()
    assert not (elsewhere / "spark.jsa").exists()
    assert "rehearsal.log" in capsys.readouterr().out


def test_java_has_the_archive_that_sparks_is_laid_upon() -> None:
    assert list((JAVA_HOME / "lib").glob("*/classes.jsa"))
