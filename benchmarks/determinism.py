"""Train twice with one seed, in two processes, and compare the bundles.

In: a data source and the last day to learn from. Out: per file whether it is the same byte by byte, of arrays how far
apart they are at most, and how far apart the metrics of both manifests are; as JSON. Exit code 1 where the trees differ
by a byte or a metric by more than 1e-6.
Run: python -m benchmarks.determinism --data SOURCE:DIR --until DATE --out FILE.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.circumstances import circumstances
from benchmarks.commands import last_line
from recloop.bundles import MANIFEST, Manifest, read_manifest
from recloop.cli import run
from training.reports import check_writable, write_report

ALLOWED = 1e-6
COSTS = ("seconds", "peak_memory_mb", "throughput")


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.determinism", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="SOURCE")
    parser.add_argument("--until", required=True, metavar="DATE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    args = parser.parse_args(argv)

    def command() -> int:
        check_writable(args.out)
        with TemporaryDirectory(prefix="determinism-") as place:
            bundles = [Path(place) / name for name in ("one", "other")]
            for bundle in bundles:
                last_line("training.train", ["--data", args.data, "--until", args.until, "--out", str(bundle)])
            found = compare(*bundles)
        source = f"{args.data.split(':')[0]}:DIR" if ":" in args.data else args.data
        facts = {"command": f"python -m benchmarks.determinism --data {source} --until {args.until}"}
        write_report(args.out, facts | circumstances() | found)
        print(json.dumps({"same": found["same"], "report": str(args.out)}))
        return 0 if found["same"] else 1

    return run(command)


def compare(one: Path, other: Path) -> dict[str, Any]:
    """Return what differs between two bundles."""
    names = sorted({path.name for folder in (one, other) for path in folder.iterdir()} - {MANIFEST})
    files = {
        name: all((folder / name).exists() for folder in (one, other))
        and (one / name).read_bytes() == (other / name).read_bytes()
        for name in names
    }
    arrays = {name: _farthest(one / name, other / name) for name in names if name.endswith(".npy")}
    metrics = _metrics_apart(read_manifest(one), read_manifest(other))
    trees = all(same for name, same in files.items() if name.endswith(".txt"))
    return {
        "same": trees and metrics <= ALLOWED,
        "metrics_apart_at_most": metrics,
        "arrays_apart_at_most": arrays,
        "same_bytes": files,
    }


def _farthest(one: Path, other: Path) -> float | None:
    """Return the largest difference of two arrays; None where one is missing or they have other shapes."""
    if not (one.exists() and other.exists()):
        return None
    left, right = (np.nan_to_num(np.load(path, allow_pickle=False)) for path in (one, other))
    return float(np.abs(left - right).max(initial=0.0)) if left.shape == right.shape else None


def _metrics_apart(one: Manifest, other: Manifest) -> float:
    left, right = (dict(_numbers(manifest.metrics)) for manifest in (one, other))
    apart = (abs(left.get(name, np.inf) - right.get(name, np.inf)) for name in left.keys() | right.keys())
    return max(apart, default=0.0)


def _numbers(found: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of nested metrics with its path; what a run cost is no metric."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key not in COSTS:
                yield from _numbers(value, f"{name}/{key}")
    elif isinstance(found, list):
        for place, value in enumerate(found):
            yield from _numbers(value, f"{name}/{place}")
    elif isinstance(found, int | float):
        yield name, float(found)


if __name__ == "__main__":
    sys.exit(main())
