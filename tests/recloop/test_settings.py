from __future__ import annotations

from pathlib import Path

import pydantic
import pytest
from pydantic import SecretStr

from recloop.errors import ConfigurationError
from recloop.settings import Database, Port, Settings, load_settings


@pytest.fixture
def no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import os

    for name in [name for name in os.environ if name.startswith("RECLOOP_")]:
        monkeypatch.delenv(name)
    return tmp_path / "absent.env"


def test_environment_wins_over_the_file(no_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_file.write_text("RECLOOP_PORTS_FROM=20000\nRECLOOP_SEED=3\n")
    monkeypatch.setenv("RECLOOP_PORTS_FROM", "21000")
    settings = load_settings(no_file)
    assert (settings.ports_from, settings.seed) == (21_000, 3)


def test_components_are_found_by_port_unless_an_address_is_given(
    no_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECLOOP_PORTS_FROM", "20000")
    monkeypatch.setenv("RECLOOP_KAFKA_BOOTSTRAP_SERVERS", "k1:9092,k2:9092")
    settings = load_settings(no_file)
    assert settings.redis == f"127.0.0.1:{20_000 + Port.REDIS}"
    assert settings.kafka == "k1:9092,k2:9092"


def test_malformed_value_names_the_variable(no_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECLOOP_PORTS_FROM", "eighty")
    with pytest.raises(ConfigurationError, match="RECLOOP_PORTS_FROM is 'eighty'"):
        load_settings(no_file)


@pytest.mark.parametrize("seed", ["-1", str(2**31)])
def test_seed_that_a_library_would_not_take_names_the_variable(
    no_file: Path, monkeypatch: pytest.MonkeyPatch, seed: str
) -> None:
    monkeypatch.setenv("RECLOOP_SEED", seed)
    with pytest.raises(ConfigurationError, match=f"RECLOOP_SEED is '{seed}': Input should be"):
        load_settings(no_file)


def test_option_of_a_command_wins_where_it_is_given(no_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECLOOP_SEED", "3")
    monkeypatch.setenv("RECLOOP_EPOCHS", "4")
    settings = load_settings(no_file, seed=5, epochs=None)
    assert (settings.seed, settings.epochs) == (5, 4)


def test_option_that_is_out_of_range_is_named_as_the_option(no_file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^--seed is -1: Input should be .* equal to 0\. Correct it\.$"):
        load_settings(no_file, seed=-1)


def test_settings_are_frozen(no_file: Path) -> None:
    with pytest.raises(pydantic.ValidationError):
        load_settings(no_file).seed = 1  # type: ignore[misc]


def test_secrets_do_not_show(no_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECLOOP_POSTGRES_PASSWORD", "hunter2")
    settings = load_settings(no_file)
    assert "hunter2" not in repr(settings)
    assert "hunter2" in settings.postgres_url(Database.FEAST)


def test_password_cannot_end_the_part_of_an_address_it_stands_in(no_file: Path) -> None:
    settings = load_settings(no_file).model_copy(update={"postgres_password": SecretStr("a@b/c")})
    assert ":a%40b%2Fc@" in settings.postgres_url(Database.FEAST)


def test_every_setting_is_described() -> None:
    assert Settings.model_fields
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_no_two_components_share_a_port() -> None:
    assert len({int(port) for port in Port}) == len(Port)
