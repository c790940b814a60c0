"""What a machine may lack, and that all of it is said at once with the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from recloop.errors import MachineError
from stack import machine
from stack.machine import GIB, check_machine, find_problems, total_memory


def problems(**found: object) -> list[str]:
    good = {"version": (3, 11), "disk_bytes": 50 * GIB, "memory_bytes": 16 * GIB, "is_installed": False}
    return find_problems(**(good | {"as_root": False} | found))  # type: ignore[arg-type]


def test_fitting_machine_has_no_problem() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param({"version": (3, 13)}, ["Python is 3.13", "3.11 or 3.12"], id="python"),
        pytest.param({"disk_bytes": 11 * GIB}, ["11.0 GiB of disk", "12 are needed", "Free some"], id="disk"),
        pytest.param({"memory_bytes": 4 * GIB}, ["4.0 GiB of memory", "7 are needed"], id="memory"),
    ],
)
def test_problem_says_what_was_found_and_what_is_needed(found: dict[str, object], said: list[str]) -> None:
    (problem,) = problems(**found)
    for part in said:
        assert part in problem


def test_installed_project_needs_less_disk() -> None:
    assert problems(disk_bytes=3 * GIB, is_installed=True) == []
    assert len(problems(disk_bytes=1 * GIB, is_installed=True)) == 1


def test_root_without_setpriv_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert problems(as_root=False) == []
    (problem,) = problems(as_root=True)
    assert "setpriv" in problem


def test_all_problems_are_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_problems", lambda: ["no disk.", "no memory."])
    with pytest.raises(MachineError, match=r"(?s)- no disk\..*- no memory\."):
        check_machine()


def test_a_containers_limit_counts_where_it_is_below_the_machines_memory(tmp_path: Path) -> None:
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    meminfo.write_text("MemTotal:       8000000 kB\nMemFree: 1 kB\n")
    assert total_memory(meminfo, limit) == 8_000_000 * 1024
    limit.write_text("max\n")
    assert total_memory(meminfo, limit) == 8_000_000 * 1024
    limit.write_text("1048576\n")
    assert total_memory(meminfo, limit) == 1_048_576
