"""Start the stack, or a part of it, and return when every component answers.

What runs already is left as it is. When a component does not start, what this call started is stopped again.
Run: python -m stack.up [--only postgres,redis,kafka]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import psutil

from recloop.cli import run
from recloop.errors import MachineError
from recloop.settings import Settings, load_settings
from stack import steps
from stack.components import Component, all_components, select
from stack.health import is_free, wait_until_healthy
from stack.supervision import Supervisor, end, processes_of


def main(argv: Sequence[str] | None = None) -> int:
    """Start what is asked for; return 0 when all of it answers, 1 after one message otherwise."""
    parser = argparse.ArgumentParser(prog="python -m stack.up", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help="comma-separated; what they require comes too")
    args = parser.parse_args(argv)
    return run(lambda: start_stack(stack_settings(), [name for name in args.only.split(",") if name]))


def stack_settings() -> Settings:
    """Read the settings, with an absolute var_dir: the components start in another folder."""
    settings = load_settings()
    return settings.model_copy(update={"var_dir": settings.var_dir.resolve()})


def start_stack(settings: Settings, only: Sequence[str] = ()) -> int:
    """Start the components in order and wait until all answer."""
    components = all_components(settings)
    chosen = select(components, only)
    supervisor = Supervisor(settings)
    fresh = not supervisor.is_running()
    if fresh:
        # A stack whose supervisor was killed leaves its components behind.
        end(processes_of(settings))
    missing: list[Component] = []
    try:
        supervisor.start(components)
        missing = [component for component in chosen if not supervisor.runs(component.name)]
        check_ports(settings, missing)
        _start(supervisor, missing)
    except BaseException:
        _undo(supervisor, missing, fresh=fresh)
        raise
    return 0


def check_ports(settings: Settings, components: Sequence[Component]) -> None:
    """Raise a MachineError that lists every port that somebody else listens on, and who."""
    taken = [
        f"- {settings.address(port)}, wanted by {component.name}, is in use{holder(settings.port(port))}"
        for component in components
        for port in component.ports
        if not is_free(settings.host, settings.port(port))
    ]
    if taken:
        raise MachineError(
            "ports are taken:\n" + "\n".join(taken) + "\nStop what uses them, or move the whole stack: "
            "put `RECLOOP_PORTS_FROM=28080`, say, into var/recloop.env."
        )


def holder(port: int) -> str:
    """Return ` by NAME (pid N)` for the process that listens on a port; empty where we may not know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            try:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return ""
    return ""


def _start(supervisor: Supervisor, components: Sequence[Component]) -> None:
    """Start each component when what it requires answers; wait for the others only at the end."""
    started_at: dict[str, float] = {}
    pids: dict[str, int] = {}
    waiting: list[str] = []

    def wait_for(name: str) -> None:
        wait_until_healthy(supervisor, name, pids[name])
        steps.after(name, supervisor.settings)
        waiting.remove(name)
        print(f"{name} answers after {time.monotonic() - started_at[name]:.1f} s.", flush=True)

    for component in components:
        for required in component.requires:
            if required in waiting:
                wait_for(required)
        steps.before(component.name, supervisor.settings)
        addresses = ", ".join(supervisor.settings.address(port) for port in component.ports)
        print(f"Starting {component.name}{' on ' + addresses if addresses else ''}.", flush=True)
        started_at[component.name] = time.monotonic()
        pids[component.name] = supervisor.start_process(component.name)
        waiting.append(component.name)
    for name in list(waiting):
        wait_for(name)


def _undo(supervisor: Supervisor, components: Sequence[Component], *, fresh: bool) -> None:
    """Leave nothing running that this call started."""
    if fresh:
        supervisor.shut_down()
        return
    for component in reversed(components):
        supervisor.stop_process(component.name)


if __name__ == "__main__":
    sys.exit(main())
