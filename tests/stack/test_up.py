"""The stack's servers start, answer, are left alone when they run, and are gone after `down`."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from recloop.commands import module
from recloop.errors import MachineError
from recloop.settings import PROJECT_DIR, Database, Environment, Port, Settings
from recloop.tables import Topic
from stack.components import Component
from stack.health import is_free, probe
from stack.kafka import PARTITIONS
from stack.status import read_status
from stack.supervision import MARKER, Supervisor, processes_of
from stack.up import check_ports, holder

SERVERS = ("postgres", "redis", "kafka")


def run_up(settings: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `stack.up` as a user would, on the stack of these settings."""
    mine = {"RECLOOP_VAR_DIR": str(settings.var_dir), "RECLOOP_PORTS_FROM": str(settings.ports_from)}
    return subprocess.run(
        module(Environment.CORE, "stack.up", options),
        cwd=PROJECT_DIR,
        env=os.environ | mine,
        capture_output=True,
        text=True,
        check=False,
    )


def test_message_of_a_busy_port_names_the_port_its_holder_and_the_way_out(settings: Settings) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        moved = settings.model_copy(update={"ports_from": port - Port.REDIS})
        with pytest.raises(MachineError) as caught:
            check_ports(moved, [Component("redis", [], (Port.REDIS,))])
        me = psutil.Process().name()
        assert holder(port) == f" by {me} (pid {os.getpid()})"
    for part in (f"127.0.0.1:{port}", "wanted by redis", f"pid {os.getpid()}", "RECLOOP_PORTS_FROM"):
        assert part in str(caught.value)


def test_unknown_component_is_one_message_and_exit_code_1(settings: Settings) -> None:
    done = run_up(settings, "--only", "kafak")
    assert done.returncode == 1
    assert done.stderr.startswith("ConfigurationError: 'kafak' is no component")
    assert not settings.var_dir.exists()


@pytest.mark.stack
def test_servers_answer_and_hold_what_the_others_need(base_stack: Settings) -> None:
    import psycopg2
    from confluent_kafka.admin import AdminClient

    assert [probe(base_stack, name) for name in SERVERS] == [None] * 3
    for database in Database:
        psycopg2.connect(base_stack.postgres_url(database, "postgresql")).close()
    topics = AdminClient({"bootstrap.servers": base_stack.kafka}).list_topics(timeout=10).topics
    assert {name: len(topics[name].partitions) for name in Topic} == dict.fromkeys(Topic, PARTITIONS)


@pytest.mark.stack
def test_servers_refuse_a_client_without_the_password(base_stack: Settings) -> None:
    import psycopg2
    from redis import AuthenticationError, Redis

    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(base_stack.postgres_url(Database.LAKE, "postgresql").replace("@", "x@"))
    with pytest.raises(AuthenticationError):
        Redis(base_stack.host, base_stack.port(Port.REDIS)).ping()


@pytest.mark.stack
def test_nothing_listens_outside_loopback(base_stack: Settings) -> None:
    connections = [each for process in processes_of(base_stack) for each in process.net_connections("inet")]
    listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    assert listening
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


@pytest.mark.stack
def test_second_up_leaves_what_runs_alone(base_stack: Settings) -> None:
    before = {name: Supervisor(base_stack).info(name)["pid"] for name in SERVERS}
    done = run_up(base_stack, "--only", ",".join(SERVERS))
    assert done.returncode == 0
    assert done.stdout == ""
    assert {name: Supervisor(base_stack).info(name)["pid"] for name in SERVERS} == before


@pytest.mark.stack
def test_status_shows_address_memory_and_log(base_stack: Settings) -> None:
    rows = {row.name: row for row in read_status(base_stack)}
    for name in SERVERS:
        assert rows[name].state == "healthy"
        assert rows[name].memory_mb > 0
        assert rows[name].log.exists()
    assert rows["redis"].addresses == [base_stack.address(Port.REDIS)]


@pytest.mark.stack
def test_failed_start_leaves_nothing_running_and_down_leaves_nothing_at_all(
    empty_stack: Settings, tmp_path: Path
) -> None:
    alone = empty_stack.model_copy(update={"var_dir": tmp_path / "var", "ports_from": empty_stack.ports_from + 100})
    (tmp_path / "var" / "kafka" / "data").mkdir(parents=True)
    # A storage that Kafka takes for formatted and cannot read.
    (tmp_path / "var" / "kafka" / "data" / "meta.properties").write_text("version=1\ncluster.id=broken\nnode.id=7\n")
    done = run_up(alone, "--only", "redis,kafka")
    assert done.returncode == 1
    assert "ComponentUnavailable: kafka does not start" in done.stderr
    assert "kafka.log" in done.stderr
    assert processes_of(alone) == []
    assert all(is_free(alone.host, alone.port(port)) for port in Port)


@pytest.mark.stack
def test_stack_whose_supervisor_was_killed_is_cleaned_up_and_starts_again(
    empty_stack: Settings, tmp_path: Path
) -> None:
    alone = empty_stack.model_copy(update={"var_dir": tmp_path / "var", "ports_from": empty_stack.ports_from + 200})
    try:
        assert run_up(alone, "--only", "postgres,redis").returncode == 0
        supervisor = Supervisor(alone)
        psutil.Process(int(supervisor.call("getPID"))).kill()
        assert {process.name() for process in processes_of(alone)} >= {"postgres"}
        again = run_up(alone, "--only", "postgres,redis")
        assert again.returncode == 0, again.stderr
    finally:
        Supervisor(alone).shut_down()
    assert processes_of(alone) == []
    assert all(is_free(alone.host, alone.port(port)) for port in Port)


def test_this_process_is_never_taken_for_a_part_of_the_stack(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARKER, str(settings.var_dir))
    assert processes_of(settings) == []
