"""Keep the components running with supervisor: write its configuration, start it, talk to it, end it.

Every process below it carries RECLOOP_STACK in its environment, so that none is missed when the stack is stopped:
a DAG's task may have left its parent's process group.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import psutil

from recloop.errors import ComponentUnavailable
from recloop.settings import Settings
from stack.components import Component
from stack.places import PROJECT_DIR, digest

MARKER = "RECLOOP_STACK"
# The kernel takes 108 bytes for the path of a socket, the last of them zero.
LONGEST_SOCKET_PATH = 100
STOP_SECONDS = 20
STOPPED = ("STOPPED", "EXITED", "FATAL")
SERVERS = {"postgres", "redis", "kafka"}
# PostgreSQL's fast shutdown: it ends sessions instead of waiting for them.
STOP_SIGNALS = {"postgres": "INT"}
LAUNCHER = Path(__file__).with_name("launch.py")
COMPONENTS_FILE = "components.json"


def run_dir(settings: Settings) -> Path:
    """Return the folder of supervisor's own files."""
    return settings.var_dir / "run"


def socket_path(settings: Settings) -> Path:
    """Return where supervisor listens: in the stack's folder, or in a private one where that path is too long."""
    path = run_dir(settings) / "supervisor.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    return Path(gettempdir()) / f"recloop-{os.geteuid()}-{digest([str(settings.var_dir)])[:12]}" / "supervisor.sock"


def log_file(settings: Settings, name: str) -> Path:
    """Return the log of one component."""
    return settings.var_dir / "log" / f"{name}.log"


def stack_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that tie a process to this stack, not to another one of the same project."""
    return {
        MARKER: str(settings.var_dir),
        "RECLOOP_VAR_DIR": str(settings.var_dir),
        "RECLOOP_PORTS_FROM": str(settings.ports_from),
        "RECLOOP_HOST": settings.host,
    }


def render_config(settings: Settings, names: Sequence[str]) -> str:
    """Return supervisor's configuration; no component starts by itself, since each waits for what it requires."""
    run = run_dir(settings)
    sections: dict[str, dict[str, str]] = {
        "unix_http_server": {"file": str(socket_path(settings)), "chmod": "0700"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisord": {
            "pidfile": str(run / "supervisord.pid"),
            "logfile": str(log_file(settings, "supervisord")),
            "directory": str(PROJECT_DIR),
            "childlogdir": str(run),
        },
    }
    if os.geteuid() == 0:
        sections["supervisord"]["user"] = "root"  # said, not forgotten: supervisor warns otherwise
    sections |= {f"program:{name}": _program(settings, name) for name in names}
    # Supervisor expands %(…)s; a folder's name may hold a percent sign.
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key}={value.replace('%', '%%')}\n" for key, value in keys.items())
        for name, keys in sections.items()
    )


def _program(settings: Settings, name: str) -> dict[str, str]:
    launch = [sys.executable, "-E", "-s", str(LAUNCHER), str(run_dir(settings) / COMPONENTS_FILE), name]
    return {
        "command": shlex.join(launch),
        "directory": str(PROJECT_DIR),
        "autostart": "false",
        "autorestart": "true",
        "stopsignal": STOP_SIGNALS.get(name, "TERM"),
        "stopwaitsecs": str(STOP_SECONDS),
        "stopasgroup": "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(log_file(settings, name)),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "1",
    }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_text(text)
    os.replace(aside, path)


class Supervisor:
    """The supervisor of one stack; it need not be running."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def is_running(self) -> bool:
        """Tell whether supervisor answers."""
        try:
            self.call("getState")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def start(self, components: list[Component]) -> None:
        """Start supervisor with these components, none of them running; where it runs, tell it what changed."""
        config = run_dir(self.settings) / "supervisord.conf"
        for folder in (config.parent, socket_path(self.settings).parent, log_file(self.settings, "x").parent):
            folder.mkdir(parents=True, exist_ok=True)
        socket_path(self.settings).parent.chmod(0o700)
        known = {
            component.name: {
                "argv": component.argv,
                "environment": stack_environment(self.settings) | component.environment,
            }
            for component in components
        }
        write_private(config.with_name(COMPONENTS_FILE), json.dumps(known))
        write_private(config, render_config(self.settings, list(known)))
        if self.is_running():
            self._reload()
            return
        command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(config)]
        environment = os.environ | stack_environment(self.settings)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        for _ in ticks(10):
            if done.returncode != 0 or self.is_running():
                break
        if not self.is_running():
            raise ComponentUnavailable(f"supervisor does not start:\n{(done.stdout + done.stderr).strip()}")

    def start_process(self, name: str) -> int:
        """Start one component, do not wait for it; return its process id."""
        try:
            self.call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            raise ComponentUnavailable(f"{name} cannot be started: {fault.faultString}") from fault
        return int(self.info(name)["pid"])

    def runs(self, name: str) -> bool:
        """Tell whether a component's process is there, healthy or not."""
        return self.state(name) in ("RUNNING", "STARTING", "STOPPING", "BACKOFF")

    def state(self, name: str) -> str:
        """Return supervisor's word for a component's state."""
        return str(self.info(name)["statename"])

    def info(self, name: str) -> dict[str, Any]:
        """Return what supervisor knows of a component."""
        answer: dict[str, Any] = self.call("getProcessInfo", name)
        return answer

    def stop_process(self, name: str) -> None:
        """Stop one component and wait for its end."""
        with contextlib.suppress(xmlrpc.client.Fault):  # it was not running
            self.call("stopProcess", name)

    def shut_down(self) -> None:
        """End all components, supervisor, and whatever they left running."""
        if self.is_running():
            pid = int(self.call("getPID"))
            self._stop_all()
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.call("shutdown")
            with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                psutil.Process(pid).wait(STOP_SECONDS)
        end(processes_of(self.settings))
        socket_path(self.settings).unlink(missing_ok=True)

    def _stop_all(self) -> None:
        """Stop the clients before the servers, each group at once."""
        names = {info["name"] for info in self.call("getAllProcessInfo")}
        for group in (names - SERVERS, names & SERVERS):
            for name in group:
                with contextlib.suppress(xmlrpc.client.Fault):  # it was not running
                    self.call("stopProcess", name, False)
            for _ in ticks(STOP_SECONDS + 5):
                if all(self.state(name) in STOPPED for name in group):
                    break

    def _reload(self) -> None:
        ((added, changed, removed),) = self.call("reloadConfig")
        for group in [*changed, *removed]:
            self.call("stopProcessGroup", group)
            self.call("removeProcessGroup", group)
        for group in [*added, *changed]:
            self.call("addProcessGroup", group)

    def call(self, method: str, *arguments: object) -> Any:
        """Call one method of supervisor's own interface, on a connection of its own."""
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{socket_path(self.settings)}")
        with contextlib.closing(transport):
            proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)


def processes_of(settings: Settings) -> list[psutil.Process]:
    """Return every process that belongs to this stack, however it was started below it; never this one."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _belongs(process, settings)]


def end(processes: list[psutil.Process]) -> None:
    """Terminate processes; kill those that are still there after a while."""
    for action, seconds in (("terminate", 10), ("kill", 5)):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(process, action)()
        _, processes = psutil.wait_procs(processes, timeout=seconds)
    if processes:
        raise ComponentUnavailable(f"these processes do not end: {[process.pid for process in processes]}")


def _belongs(process: psutil.Process, settings: Settings) -> bool:
    try:
        marker = process.environ().get(MARKER)
        return marker == str(settings.var_dir) and bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return False


def ticks(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(0.1)
