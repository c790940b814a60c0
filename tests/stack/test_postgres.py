"""Which PostgreSQL is taken, and that it starts below a folder only we may enter, as root too."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from recloop.errors import MachineError
from recloop.settings import Port
from stack import postgres
from stack.postgres import OLDEST, as_allowed_user, find_postgres, initialise, major_version, unprivileged_user
from tests.conftest import free_ports


def fake_postgres(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


def test_machines_own_is_passed_over_when_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = fake_postgres(tmp_path / "old", "13.9"), fake_postgres(tmp_path / "new", "16.1 (Debian)")
    monkeypatch.setattr(postgres, "machine_folders", lambda: [old, new])
    assert find_postgres() == new


def test_found_server_is_new_enough() -> None:
    assert (major_version(find_postgres()) or 0) >= OLDEST


def test_root_runs_it_as_somebody_else_and_others_as_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged_user() is None
    assert as_allowed_user(["postgres"]) == ["postgres"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    user = unprivileged_user()
    assert user is not None
    assert user.pw_uid != 0
    assert as_allowed_user(["postgres"])[-2:] == ["--", "postgres"]


@pytest.mark.stack
def test_server_starts_in_a_private_folder_and_asks_for_the_password(tmp_path: Path) -> None:
    import psycopg2

    tmp_path.chmod(0o700)
    data, port = tmp_path / "data", free_ports() + Port.POSTGRES
    initialise(find_postgres(), data, user="owner", password="pass word'")
    assert not data.with_name("data.password").exists()
    options = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    with subprocess.Popen(as_allowed_user([str(find_postgres() / "postgres"), *options])) as server:
        try:
            assert connects(psycopg2, port, "pass word'")
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                psycopg2.connect(host="127.0.0.1", port=port, user="owner", dbname="postgres", password="other")
        finally:
            server.terminate()


def connects(driver: object, port: int, password: str) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            driver.connect(  # type: ignore[attr-defined]
                host="127.0.0.1", port=port, user="owner", dbname="postgres", password=password
            ).close()
        except Exception:
            time.sleep(0.1)
        else:
            return True
    return False


@pytest.mark.slow
def test_failed_initialisation_leaves_no_data_folder(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="role"):
        initialise(find_postgres(), tmp_path / "data", user="pg_reserved", password="x")
    assert list(tmp_path.iterdir()) == []
