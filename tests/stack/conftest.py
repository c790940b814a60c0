"""Settings with every secret set and nothing read from the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from recloop.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        var_dir=tmp_path / "var",
        ports_from=20_000,
        redis_password=SecretStr("hush-redis"),
        postgres_password=SecretStr("hush-postgres"),
        airflow_password=SecretStr("hush-login"),
        airflow_secret=SecretStr("hush-signing"),
        airflow_fernet_key=SecretStr("hush-fernet"),
    )
