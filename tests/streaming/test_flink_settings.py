"""What Flink is told: loopback only, thread mode, checkpoints that are found again."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from jobs.streaming import flink_settings
from jobs.streaming.flink_settings import job_options, local_environment, local_options
from recloop.errors import MachineError
from recloop.settings import PROJECT_DIR, Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "connector.jar").touch()
    monkeypatch.setattr(flink_settings, "JARS_DIR", tmp_path / "jars")
    return Settings(var_dir=tmp_path, ports_from=19000)


def test_every_address_is_loopback(settings: Settings) -> None:
    addresses = {
        name: value
        for name, value in local_options(settings).items()
        if name.endswith((".address", ".bind-address", ".host", ".bind-host"))
    }
    assert len(addresses) >= 6
    assert set(addresses.values()) == {"127.0.0.1"}
    assert local_environment()["_python_worker_execution_mode"] == "process"


def test_rest_and_page_listen_on_the_settings_port(settings: Settings) -> None:
    assert local_options(settings)["rest.bind-port"] == local_options(settings)["rest.port"] == "19007"


def test_first_start_has_nothing_to_recover(settings: Settings) -> None:
    assert "execution.state-recovery.path" not in local_options(settings)


def test_next_start_recovers_from_the_newest_checkpoint(settings: Settings) -> None:
    newest = settings.var_dir / "flink" / "checkpoints" / "run" / "chk-7"
    newest.mkdir(parents=True)
    (newest / "_metadata").write_text("state")
    assert local_options(settings)["execution.state-recovery.path"] == newest.as_uri()


def test_cluster_decides_where_its_jars_and_checkpoints_lie() -> None:
    assert not {"pipeline.jars", "execution.checkpointing.dir", "rest.port"} & job_options().keys()
    assert job_options()["python.execution-mode"] == "thread"


def test_workers_find_the_project_and_the_environments_packages() -> None:
    paths = local_environment()["PYTHONPATH"].split(":")
    assert {str(PROJECT_DIR), sysconfig.get_path("purelib")} <= set(paths)


def test_missing_jars_name_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flink_settings, "JARS_DIR", tmp_path)
    with pytest.raises(MachineError, match="make setup"):
        flink_settings.local_jars()
