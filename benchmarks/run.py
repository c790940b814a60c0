"""Run every benchmark against the running stack, one after another; each writes its samples to benchmarks/results/.

Needs the stack that `make demo` leaves. The others in this folder need data of their own and no stack; each has --help.
Run: make bench
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from recloop.commands import python
from recloop.settings import PROJECT_DIR, Environment

BENCHMARKS = {"demo": Environment.CORE, "serving": Environment.CORE, "streaming": Environment.STREAMING}


def main(argv: Sequence[str] | None = None) -> int:
    """Run all, or those named; return 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    of = f"of {', '.join(BENCHMARKS)}; none: all"
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=of)
    chosen = parser.parse_args(argv).names or [*BENCHMARKS]
    failed = [name for name in chosen if not run_benchmark(name)]
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def run_benchmark(name: str) -> bool:
    """Run one benchmark in the environment it measures."""
    print(f"== {name}", flush=True)
    interpreter = python(BENCHMARKS[name])
    return subprocess.run([interpreter, "-m", f"benchmarks.{name}"], cwd=PROJECT_DIR, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
