"""Measure what a whole training costs as the log grows: the same users once, twice and four times.

In: a folder in KuaiRand's format. Of a share of its users, drawn by a hash of their ids, copies are made under new ids;
items stay as they are. Each size is trained by `training.train` in a process of its own.
Out: rows, seconds, CPU seconds, peak memory and seconds per part of each size, and the exponent of CPU seconds by rows
in a log-log fit: 1 is linear, and what every run costs whatever its rows makes it smaller. As JSON.
Run: python -m benchmarks.growth --data kuairand:DIR --until DATE --out FILE.json [--share 0.25] [--times 1 2 4]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO
from zlib import crc32

import numpy as np

from benchmarks.circumstances import circumstances
from benchmarks.commands import last_line
from recloop.cli import run
from recloop.errors import ConfigurationError
from training.reports import check_writable, write_report

KIND = "kuairand:"
USER = "user_id"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="kuairand:DIR")
    parser.add_argument("--until", required=True, metavar="DATE", help="the last day to learn from")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--share", type=float, default=0.25, help="of the users (default: %(default)s)")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 2, 4], help="copies (default: 1 2 4)")
    args = parser.parse_args(argv)

    def command() -> int:
        check_writable(args.out)
        if not args.data.startswith(KIND):
            raise ConfigurationError(f"--data is {args.data!r}; expected {KIND}DIR, whose files can be copied.")
        folder = Path(args.data.removeprefix(KIND))
        sizes = [measure(folder, args.until, share=args.share, times=times) for times in args.times]
        found = {
            "command": f"python -m benchmarks.growth --data {KIND}DIR --until {args.until} --share {args.share}",
            **circumstances(),
            "exponent": exponent(sizes),
            "sizes": sizes,
        }
        write_report(args.out, found)
        print(json.dumps({name: found[name] for name in ("exponent", "commit")}))
        return 0

    return run(command)


def measure(folder: Path, until: str, *, share: float, times: int) -> dict[str, Any]:
    """Train on so many copies of the users; return what it cost."""
    with TemporaryDirectory(prefix="growth-") as place:
        data, bundle = Path(place) / "data", Path(place) / "bundle"
        copy_users(folder, data, share=share, times=times)
        options = ["--data", f"{KIND}{data}", "--until", until, "--out", str(bundle)]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        report = last_line("training.train", options)
        seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    kept = {name: report[name] for name in ("rows_in", "peak_memory_mb", "parts")}
    return {"times": times, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), **kept}


def exponent(sizes: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the power of the rows that the CPU seconds follow, by least squares of logarithms; None of one size."""
    rows, spent = (np.log([size[name] for size in sizes]) for name in ("rows_in", "cpu_seconds"))
    return round(float(np.polyfit(rows, spent, 1)[0]), 3) if len(set(rows)) > 1 else None


def copy_users(folder: Path, target: Path, *, share: float, times: int) -> None:
    """Copy a folder; of files with users a share of these, each `times` times under ids of its own."""
    target.mkdir()
    for file in sorted(folder.glob("*.csv*")):
        _copy_file(file, target / file.name, share, times)


def _copy_file(source: Path, target: Path, share: float, times: int) -> None:
    with _opened(source, "rt") as read, _opened(target, "wt") as write:
        rows = csv.reader(read)
        header = next(rows)
        out = csv.writer(write)
        out.writerow(header)
        out.writerows(_copies(rows, header.index(USER), share, times) if USER in header else rows)


def _copies(rows: Iterator[list[str]], place: int, share: float, times: int) -> Iterator[list[str]]:
    for row in rows:
        if crc32(row[place].encode()) / 2**32 < share:
            for copy in range(times):
                # Ids are numbers: a digit more keeps them apart.
                yield [*row[:place], f"{row[place]}{copy}", *row[place + 1 :]]


def _opened(path: Path, mode: str) -> TextIO:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    stream: TextIO = opened(path, mode, encoding="utf-8", newline="")
    return stream


if __name__ == "__main__":
    sys.exit(main())
