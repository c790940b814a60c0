"""Set up everything the stack needs, inside the project's folder; what is done is skipped.

Runs on the system's python3, 3.11 or 3.12, with nothing installed.
Run: python3 -m stack.setup
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from recloop.cli import run
from stack.class_archive import make_class_archive
from stack.environments import install_all
from stack.jars import install_jars
from stack.java import install_java
from stack.machine import check_machine
from stack.postgres import find_postgres
from stack.redis import find_redis
from stack.secrets_file import write_secrets


def main(argv: Sequence[str] | None = None) -> int:
    """Set up; return 0, or 1 after one message that says what is missing and how to get it."""
    argparse.ArgumentParser(prog="python3 -m stack.setup", description=__doc__).parse_args(argv)
    return run(set_up)


def set_up() -> int:
    """Look at the machine, then install in the order in which one step needs the other."""
    check_machine()
    install_all()
    install_java()
    install_jars()
    make_class_archive()
    find_redis()
    find_postgres()
    write_secrets()
    return 0


if __name__ == "__main__":
    sys.exit(main())
