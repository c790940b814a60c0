"""How the lake is opened: no secret in an address, no jars no session."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from recloop import lake
from recloop.errors import MachineError
from recloop.settings import Settings

SETTINGS = Settings(postgres_address="db:5432", postgres_password=SecretStr("geheim"), warehouse="s3://bucket/lake")


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "iceberg.jar").touch()
    monkeypatch.setattr(lake, "JARS_DIR", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("jars")
def test_spark_and_pyiceberg_open_the_same_catalogue() -> None:
    conf, properties = lake.spark_conf(SETTINGS), lake.iceberg_properties(SETTINGS)
    assert conf["spark.sql.catalog.lake.warehouse"] == properties["warehouse"] == "s3://bucket/lake"
    assert conf["spark.sql.catalog.lake.uri"] == "jdbc:postgresql://db:5432/lake"
    assert properties["uri"].endswith("@db:5432/lake")


@pytest.mark.usefixtures("jars")
def test_password_lies_in_its_own_field_only() -> None:
    holders = [name for name, value in lake.spark_conf(SETTINGS).items() if "geheim" in value]
    assert holders == ["spark.sql.catalog.lake.jdbc.password"]


def test_missing_jars_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake, "JARS_DIR", tmp_path)
    with pytest.raises(MachineError, match="make setup"):
        lake.spark_conf(SETTINGS)


def test_cluster_needs_no_jars_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake, "JARS_DIR", tmp_path)
    conf = lake.spark_conf(SETTINGS.model_copy(update={"spark_master": "spark://master:7077"}))
    assert conf["spark.jars"] == ""


@pytest.mark.usefixtures("jars")
def test_session_starts_from_the_class_archive_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "CLASS_ARCHIVE", tmp_path / "spark.jsa")
    assert "SharedArchiveFile" not in lake.spark_conf(SETTINGS)[lake.JAVA_OPTIONS]
    (tmp_path / "spark.jsa").touch()
    assert f"-XX:SharedArchiveFile={tmp_path}/spark.jsa " in lake.spark_conf(SETTINGS)[lake.JAVA_OPTIONS]
    on_cluster = SETTINGS.model_copy(update={"spark_master": "yarn"})
    assert "SharedArchiveFile" not in lake.spark_conf(on_cluster)[lake.JAVA_OPTIONS]
