"""Stamps and the list of environments."""

from __future__ import annotations

from pathlib import Path

from recloop.settings import Environment
from stack.places import digest, environments, is_done, mark_done, python


def test_environments_of_setup_cfg_are_those_the_kernel_knows() -> None:
    assert environments() == [environment.value for environment in Environment]


def test_interpreter_is_the_one_commands_use() -> None:
    from recloop.commands import python as command_python

    assert str(python("core")) == command_python(Environment.CORE)


def test_step_is_done_only_for_the_same_inputs(tmp_path: Path) -> None:
    stamp = tmp_path / "deep" / "done"
    assert not is_done(stamp, "a")
    mark_done(stamp, "a")
    assert is_done(stamp, "a")
    assert not is_done(stamp, "b")


def test_digest_changes_with_a_files_content_and_with_the_cut_between_parts(tmp_path: Path) -> None:
    file = tmp_path / "lock.txt"
    file.write_text("numpy==2.1")
    before = digest([file])
    file.write_text("numpy==2.2")
    assert digest([file]) != before
    assert digest(["ab", "c"]) != digest(["a", "bc"])
