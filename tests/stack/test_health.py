"""A component that dies is reported with the end of its log; a port in use is seen."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from recloop.errors import ComponentUnavailable
from recloop.settings import Settings
from stack.components import Component, all_components
from stack.health import PROBES, is_free, last_lines, probe, wait_until_healthy
from stack.supervision import Supervisor


def test_every_component_has_a_probe(settings: Settings) -> None:
    assert list(PROBES) == [component.name for component in all_components(settings)]


@pytest.mark.parametrize("name", PROBES)
def test_component_that_does_not_run_is_not_healthy(settings: Settings, name: str) -> None:
    assert probe(settings, name)


def test_component_that_dies_is_reported_with_the_end_of_its_log(settings: Settings) -> None:
    code = "import sys; print('cannot read my configuration'); sys.exit(3)"
    supervisor = Supervisor(settings)
    try:
        supervisor.start([Component("redis", [sys.executable, "-c", code])])
        pid = supervisor.start_process("redis")
        with pytest.raises(ComponentUnavailable, match=r"(?s)redis does not start.*redis\.log.*cannot read my conf"):
            wait_until_healthy(supervisor, "redis", pid)
    finally:
        supervisor.shut_down()


def test_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_lines(log) == "  (there is none)"
    log.write_bytes(b"one\ntwo \xff\nthree\n")
    assert last_lines(log, count=2) == "  two \N{REPLACEMENT CHARACTER}\n  three"


def test_port_is_free_until_somebody_listens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.listen()
        assert not is_free("127.0.0.1", port)
    assert is_free("127.0.0.1", port)
