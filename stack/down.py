"""Stop the stack; afterwards no process and no port of it is left.

Run: python -m stack.down
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from recloop.cli import run
from recloop.settings import Settings
from stack.supervision import Supervisor
from stack.up import stack_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Stop everything; nothing running is no error."""
    argparse.ArgumentParser(prog="python -m stack.down", description=__doc__).parse_args(argv)
    return run(lambda: stop_stack(stack_settings()))


def stop_stack(settings: Settings) -> int:
    """Stop everything that belongs to this stack and wait for its end."""
    Supervisor(settings).shut_down()
    print("The stack is stopped.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
