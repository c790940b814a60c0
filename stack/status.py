"""Show the components: state, address, memory, log file.

Run: python -m stack.status
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from recloop.cli import run
from recloop.settings import Settings
from stack.components import Component, all_components
from stack.health import probe
from stack.supervision import Supervisor, log_file
from stack.up import stack_settings

MIB = 1024**2


@dataclass(frozen=True)
class Row:
    """What is shown of one component; memory counts shared pages once (PSS), with all it started."""

    name: str
    state: str
    addresses: list[str]
    memory_mb: int
    log: Path


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    argparse.ArgumentParser(prog="python -m stack.status", description=__doc__).parse_args(argv)
    return run(lambda: show_status(stack_settings()))


def show_status(settings: Settings) -> int:
    """Print one line per component."""
    rows = read_status(settings)
    print(f"{'component':22}{'state':12}{'address':34}{'memory':>10}  log")
    for row in rows:
        memory = f"{row.memory_mb} MB" if row.memory_mb else "-"
        print(f"{row.name:22}{row.state:12}{', '.join(row.addresses) or '-':34}{memory:>10}  {row.log}")
    print(f"{'':68}{sum(row.memory_mb for row in rows):7} MB  together")
    return 0


def read_status(settings: Settings) -> list[Row]:
    """Look at every component: what supervisor says, and whether it answers."""
    supervisor = Supervisor(settings)
    up = supervisor.is_running()
    return [_row(settings, supervisor if up else None, component) for component in all_components(settings)]


def memory_bytes(pid: int) -> int:
    """Return the proportional memory of a process and all below it; 0 when it is gone."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_pss(process) for process in processes)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return 0


def _row(settings: Settings, supervisor: Supervisor | None, component: Component) -> Row:
    addresses = [settings.address(port) for port in component.ports]
    log = log_file(settings, component.name)
    if supervisor is None or not supervisor.runs(component.name):
        state = "stopped" if supervisor is None else supervisor.state(component.name).lower()
        return Row(component.name, state, addresses, 0, log)
    state = "healthy" if probe(settings, component.name) is None else "unhealthy"
    return Row(component.name, state, addresses, memory_bytes(supervisor.info(component.name)["pid"]) // MIB, log)


if __name__ == "__main__":
    sys.exit(main())
