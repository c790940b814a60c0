"""Fixtures that several suites share: real servers, on free ports and in a folder of their own.

Needs the kernel and the standard library only: every environment's pytest imports it. The servers are started by the
core environment, as `make up` does.
"""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest

from recloop.commands import module
from recloop.settings import PROJECT_DIR, Environment, Port, Settings, load_settings

StartComponents = Callable[..., None]


@pytest.fixture(scope="session")
def empty_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a stack in which nothing runs yet, in the environment too; whatever was started is stopped after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECLOOP_VAR_DIR", str(tmp_path_factory.mktemp("stack")))
        patch.setenv("RECLOOP_PORTS_FROM", str(free_ports()))
        yield load_settings()
        run_module("stack.down")


@pytest.fixture(scope="session")
def start_components(empty_stack: Settings) -> StartComponents:
    """Start more components of the session's stack, as in `start_components("mlflow")`; returns when they answer."""

    def start(*names: str) -> None:
        run_module("stack.up", "--only", ",".join(names))

    return start


@pytest.fixture(scope="session")
def base_stack(empty_stack: Settings, start_components: StartComponents) -> Settings:
    """Settings of a stack in which PostgreSQL, Redis and Kafka run, with databases and topics."""
    start_components("postgres", "redis", "kafka")
    return empty_stack


@pytest.fixture(scope="session")
def mlflow_stack(base_stack: Settings, start_components: StartComponents) -> Settings:
    """`base_stack` with the MLflow server."""
    start_components("mlflow")
    return base_stack


def run_module(name: str, *options: str) -> None:
    """Run a module in the core environment; a failure shows what it printed."""
    done = subprocess.run(
        module(Environment.CORE, name, options), cwd=PROJECT_DIR, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


def free_ports() -> int:
    """Return a `ports_from` of which every port is free; below the range the kernel hands out to clients.

    It stays this process's own: suites run beside each other, and servers take their ports one after the other.
    """
    for first in random.sample(range(20_000, 32_000, len(Port) + 2), 100):
        own = socket.socket()
        try:
            own.bind(("127.0.0.1", first))
        except OSError:
            own.close()
            continue
        _RESERVED.append(own)
        if all(_is_free(first + port) for port in Port):
            return first
    raise AssertionError("no free range of ports between 20000 and 32000")


_RESERVED: list[socket.socket] = []
"""Held until the process ends, on a range's first port, where no component listens."""


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
