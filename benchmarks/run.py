"""Run every benchmark against the running stack, one after another; each writes its samples to benchmarks/results/.

Needs the stack that `make demo` leaves. Not among them: benchmarks.rectools, which needs a file and an hour.
Run: make bench
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from recloop.commands import python
from recloop.settings import PROJECT_DIR, Environment

ENVIRONMENTS = {"streaming": Environment.STREAMING}
LEFT_OUT = {
    "run", "__init__", "action_budget", "cold_items", "determinism", "growth", "narrowness", "retraining",
    "rectools", "rectools_sasrec",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run all, or those named; return 1 when one failed."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in LEFT_OUT)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; none: all")
    chosen = parser.parse_args(argv).names or names
    failed = [name for name in chosen if not run_benchmark(name)]
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def run_benchmark(name: str) -> bool:
    """Run one benchmark in the environment it measures."""
    print(f"== {name}", flush=True)
    interpreter = python(ENVIRONMENTS.get(name, Environment.CORE))
    return subprocess.run([interpreter, "-m", f"benchmarks.{name}"], cwd=PROJECT_DIR, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
