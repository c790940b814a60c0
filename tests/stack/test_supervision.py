"""Supervisor's configuration, and that a stack's processes are found and ended wherever they went."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from recloop.settings import Settings
from stack.components import Component
from stack.supervision import (
    LONGEST_SOCKET_PATH,
    MARKER,
    Supervisor,
    end,
    log_file,
    processes_of,
    render_config,
    run_dir,
    socket_path,
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def read(text: str) -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(text)
    return config


def test_component_starts_only_when_told_and_is_restarted(settings: Settings) -> None:
    config = read(render_config(settings, ["postgres", "redis"]))
    assert config["program:redis"]["autostart"] == "false"
    assert config["program:redis"]["autorestart"] == "true"
    assert config["program:redis"]["stopsignal"] == "TERM"
    assert config["program:postgres"]["stopsignal"] == "INT"
    assert config["program:redis"]["stdout_logfile"] == str(log_file(settings, "redis"))


def test_percent_and_quotes_reach_the_process_as_they_are(settings: Settings, tmp_path: Path) -> None:
    said = tmp_path / "said"
    code = f"import os, sys; open({str(said)!r}, 'w').write(os.environ['SECRET'] + '|' + sys.argv[1])"
    component = Component("echo", [sys.executable, "-c", code, '50% "so" \\'], environment={"SECRET": '%(x)s,"\\'})
    supervisor = Supervisor(settings)
    try:
        supervisor.start([component])
        supervisor.start_process("echo")
        psutil.wait_procs(processes_of(settings), timeout=2)
        assert said.read_text() == '%(x)s,"\\|50% "so" \\'
    finally:
        supervisor.shut_down()


def test_long_folder_gets_a_short_private_socket(settings: Settings, tmp_path: Path) -> None:
    assert socket_path(settings.model_copy(update={"var_dir": Path("/srv/recloop/var")})).is_relative_to("/srv")
    deep = settings.model_copy(update={"var_dir": tmp_path / ("deep" * 30)})
    path = socket_path(deep)
    assert len(str(path)) <= LONGEST_SOCKET_PATH
    assert path != socket_path(deep.model_copy(update={"var_dir": tmp_path / ("other" * 30)}))


def test_supervisor_in_a_long_folder_starts_and_ends(settings: Settings, tmp_path: Path) -> None:
    deep = settings.model_copy(update={"var_dir": tmp_path / ("deep" * 30)})
    supervisor = Supervisor(deep)
    supervisor.start([Component("sleeper", SLEEP)])
    try:
        assert not supervisor.runs("sleeper")
        pid = supervisor.start_process("sleeper")
        assert supervisor.runs("sleeper")
    finally:
        supervisor.shut_down()
    assert not psutil.pid_exists(pid)
    assert not supervisor.is_running()
    assert not socket_path(deep).exists()


def test_configuration_with_its_secrets_is_for_the_owner_only(settings: Settings) -> None:
    supervisor = Supervisor(settings)
    supervisor.start([Component("mlflow", SLEEP, environment={"URI": "hush"})])
    supervisor.shut_down()
    holding = [file for file in run_dir(settings).iterdir() if file.is_file() and "hush" in file.read_text()]
    assert holding == [run_dir(settings) / "components.json"]
    assert holding[0].stat().st_mode & 0o077 == 0


def test_process_in_a_session_of_its_own_is_found_and_ended(settings: Settings) -> None:
    mine = os.environ | {MARKER: str(settings.var_dir)}
    other = os.environ | {MARKER: str(settings.var_dir) + "-other"}
    orphan = subprocess.Popen(SLEEP, env=mine, start_new_session=True)
    stranger = subprocess.Popen(SLEEP, env=other)
    try:
        assert [process.pid for process in processes_of(settings)] == [orphan.pid]
        end(processes_of(settings))
        assert not psutil.pid_exists(orphan.pid)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.slow
def test_process_that_ignores_the_signal_is_killed(settings: Settings) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    env = os.environ | {MARKER: str(settings.var_dir)}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        end(processes_of(settings))
        assert not psutil.pid_exists(stubborn.pid)
