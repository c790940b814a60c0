"""Secrets are made once, for the owner only, under the names the settings read."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from recloop.settings import Settings, load_settings
from stack.secrets_file import FERNET_KEY, TOKENS, write_secrets


def read(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_every_secret_of_the_settings_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [
        f"RECLOOP_{name.upper()}" for name, field in Settings.model_fields.items() if field.annotation is SecretStr
    ]
    assert sorted(secrets) == sorted([*TOKENS, FERNET_KEY])
    for name in secrets:
        monkeypatch.delenv(name, raising=False)
    write_secrets(tmp_path / "recloop.env")
    settings = load_settings(tmp_path / "recloop.env")
    values = {getattr(settings, name.removeprefix("RECLOOP_").lower()).get_secret_value() for name in secrets}
    assert len(values) == len(secrets), "each is its own"
    assert min(map(len, values)) >= 44


def test_file_is_for_the_owner_only(tmp_path: Path) -> None:
    write_secrets(tmp_path / "recloop.env")
    assert stat.S_IMODE((tmp_path / "recloop.env").stat().st_mode) == 0o600


def test_fernet_key_is_32_bytes(tmp_path: Path) -> None:
    write_secrets(tmp_path / "recloop.env")
    assert len(base64.urlsafe_b64decode(read(tmp_path / "recloop.env")[FERNET_KEY])) == 32


def test_what_is_there_stays_and_only_what_lacks_is_added(tmp_path: Path) -> None:
    path = tmp_path / "recloop.env"
    path.write_text("RECLOOP_PORTS_FROM=28080\nRECLOOP_REDIS_PASSWORD=mine")
    write_secrets(path)
    first = read(path)
    assert first["RECLOOP_PORTS_FROM"] == "28080"
    assert first["RECLOOP_REDIS_PASSWORD"] == "mine"
    assert set(TOKENS) <= set(first)
    write_secrets(path)
    assert read(path) == first
