"""Which Redis or Valkey is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stack.redis import OLDEST, find_redis, major_version


def fake_server(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho 'Server v={version} sha=0'\n")
    program.chmod(0o755)
    return program


def test_machines_server_is_taken_from_the_oldest_supported_version_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    server = fake_server(tmp_path, "redis-server", "7.2.4")
    assert find_redis() == server
    fake_server(tmp_path, "redis-server", "6.2.1")
    valkey = fake_server(tmp_path, "valkey-server", "8.0.0")
    assert find_redis() == valkey


def test_machine_without_a_server_gets_one_out_of_a_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = find_redis()
    assert "wheels" in found.parts
    assert (major_version(str(found)) or 0) >= OLDEST


def test_program_that_does_not_start_has_no_version(tmp_path: Path) -> None:
    assert major_version(str(tmp_path / "nothing")) is None
