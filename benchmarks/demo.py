"""Keep the report of the last `make demo` as a benchmark result.

In: `<var>/demo/report.json`. Out: benchmarks/results/demo-<data>.json, the same figures with the machine they are of.
Run: python -m benchmarks.demo
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence

import psutil

from recloop.cli import run
from recloop.errors import ComponentUnavailable
from recloop.settings import PROJECT_DIR, load_settings
from training.reports import check_writable, write_report

RESULTS = PROJECT_DIR / "benchmarks" / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Copy the report and print the figures that have a goal."""
    argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__).parse_args(argv)
    return run(keep_report)


def keep_report() -> int:
    """Write the result.

    Raises:
        ComponentUnavailable: there is no report yet.
    """
    path = load_settings().var_dir / "demo" / "report.json"
    if not path.exists():
        raise ComponentUnavailable(f"{path} is not there; `make demo` writes it.")
    report = json.loads(path.read_text())
    report.pop("addresses", None)
    # A path of one machine is nobody else's business.
    report["data"] = report["data"].partition(":")[0]
    report["machine"] = {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
    }
    target = RESULTS / f"demo-{report['data']}.json"
    check_writable(target)
    write_report(target, report)
    keys = ("total_seconds", "peak_memory_mb", "event_to_slate_ms", "swap_seconds", "rollback_seconds",
            "failed_requests", "offline")  # fmt: skip
    print(json.dumps({key: report[key] for key in keys}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
