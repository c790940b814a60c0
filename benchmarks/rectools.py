"""Compare recloop's next-item transformer with RecTools' SASRec: seconds until the same NDCG@10, on one machine.

In: lines of `user item` in time order, plain or .gz. Each user's last item is held back for the test, the one before
it to measure each epoch; the whole catalogue is ranked, less what the user had. Both sides learn on the CPU with the
same torch and as many threads, one after the other; measuring is left out of their seconds. RecTools runs with the
configuration of its public benchmark, which is the library's default (`published`), and as large as recloop's model
(`small`); it gets an environment of its own, var/benchmarks/rectools-venv. CPU seconds count where others use the
machine. Out: what either side needed to the first epoch that reached a target, and all epochs of all, as JSON.
Run: python -m benchmarks.rectools --train FILE --report FILE.json --max-minutes 30
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.circumstances import circumstances
from recloop.cli import run
from recloop.commands import module
from recloop.errors import ComponentUnavailable, MachineError
from recloop.settings import PROJECT_DIR, Environment
from stack.environments import install_uv, interpreter
from stack.places import INSTALLED_DIR, UV, digest, is_done, mark_done
from training.reports import check_writable, write_report

RESULTS = PROJECT_DIR / "benchmarks" / "results" / "rectools-ml-1m.json"
REQUIREMENTS = PROJECT_DIR / "benchmarks" / "rectools-requirements.txt"
VENV = INSTALLED_DIR / "benchmarks" / "rectools-venv"
RECTOOLS_SIDE = (str(VENV / "bin" / "python"), "-m", "benchmarks.rectools_sasrec")
SHAPES = ("published", "small")
TARGETS = (0.10, 0.12, 0.14, 0.15, 0.16, 0.17)
"""NDCG@10 on the held-back items of training; those that both sides reach are compared."""

BUSY_LOAD = 3.0
SECONDS_BETWEEN_LOADS = 10.0
Figures = Mapping[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Run both sides, compare, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rectools", description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="`user item` a line, in time order; .gz is read")
    parser.add_argument("--report", type=Path, default=RESULTS, help="JSON file to write (default: %(default)s)")
    parser.add_argument("--max-minutes", type=float, default=30, help="for each model (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="that recloop's schedule spans (default: %(default)s)")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES, help="of RecTools (default: all)")
    parser.add_argument("--threads", type=int, default=2, help="of either side (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=17, help="default: %(default)s")
    args = parser.parse_args(argv)
    return run(lambda: compare_both(args))


def compare_both(args: argparse.Namespace) -> int:
    """Run recloop, then each shape of RecTools, on the same file; write the report after each."""
    check_writable(args.report)
    install_rectools()
    report = circumstances() | {"threads": args.threads, "seed": args.seed}
    report["rectools"], report["compared"] = {}, {}
    with watched_load() as loads:
        report["recloop"] = run_recloop(args)
        for shape in args.shapes:
            theirs = report["rectools"][shape] = run_rectools(args, shape)
            report["compared"][shape] = compare(report["recloop"]["curve"], theirs["curve"])
            if max(loads) > BUSY_LOAD:
                report["note"] = f"Others used the machine (load up to {max(loads):.1f}): CPU seconds are what counts."
            write_report(args.report, report)
    print(json.dumps(report["compared"], indent=1))
    return 0


@contextmanager
def watched_load() -> Iterator[list[float]]:
    """Yield a list to which the load average is added every few seconds until the block ends."""
    loads, over = [os.getloadavg()[0]], threading.Event()

    def sample() -> None:
        while not over.wait(SECONDS_BETWEEN_LOADS):
            loads.append(os.getloadavg()[0])

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield loads
    finally:
        over.set()
        thread.join()


def install_rectools() -> None:
    """Make the environment of the lock file, and see that RecTools' side starts in it; skip what is done.

    Raises:
        MachineError: uv failed, or the environment lacks something; their own message stands above.
    """
    wanted = digest([REQUIREMENTS, interpreter()])
    if not is_done(VENV / "done", wanted):
        _make_environment(wanted)
    # Before recloop's side, which takes minutes.
    if subprocess.run([*RECTOOLS_SIDE, "--help"], cwd=PROJECT_DIR, stdout=subprocess.DEVNULL, check=False).returncode:
        raise MachineError(f"RecTools' side does not start, see above: {REQUIREMENTS.name} lacks what it imports.")


def _make_environment(wanted: str) -> None:
    install_uv()
    print(f"Making the environment {VENV.relative_to(PROJECT_DIR)} from {REQUIREMENTS.name}.", flush=True)
    for command in (
        ["venv", "--quiet", "--clear", "--python", interpreter(), str(VENV)],
        ["pip", "sync", "--quiet", "--python", str(VENV / "bin" / "python"), str(REQUIREMENTS)],
    ):
        if subprocess.run([str(UV), *command], check=False).returncode != 0:
            raise MachineError(f"RecTools cannot be installed: uv says why above. Repeat, or look at {REQUIREMENTS}.")
    mark_done(VENV / "done", wanted)


def run_recloop(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report of `training.benchmark next-item`.

    Raises:
        ComponentUnavailable: it failed, or did not end in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--train", str(args.train), "--report", str(report), "--epochs", str(args.epochs)]
        options += ["--device", "cpu", "--seed", str(args.seed)]
        command = module(Environment.CORE, "training.benchmark", ["next-item", *options])
        try:
            subprocess.run(
                command, cwd=PROJECT_DIR, env=environment(args.threads), timeout=args.max_minutes * 60, check=True
            )
        except subprocess.TimeoutExpired as error:
            raise ComponentUnavailable(
                f"recloop's {args.epochs} epochs are not over after {args.max_minutes:g} minutes; its learning rate "
                "falls over all of them, so a part says nothing. Give more --max-minutes or fewer --epochs."
            ) from error
        except subprocess.CalledProcessError as error:
            raise ComponentUnavailable(f"recloop ended with exit code {error.returncode}; see above.") from error
        found: dict[str, Any] = json.loads(report.read_text())
    return {"epochs_planned": args.epochs} | found


def run_rectools(args: argparse.Namespace, shape: str) -> dict[str, Any]:
    """Return what benchmarks.rectools_sasrec prints, with the curve under `curve`.

    Raises:
        ComponentUnavailable: it failed.
    """
    command = [*RECTOOLS_SIDE, "--train", str(args.train), "--shape", shape, "--max-minutes", str(args.max_minutes)]
    command += ["--seed", str(args.seed)]
    lines = []
    with subprocess.Popen(
        command, cwd=PROJECT_DIR, env=environment(args.threads), stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode != 0:
        raise ComponentUnavailable(f"RecTools ({shape}) ended with exit code {process.returncode}; see above.")
    curve, last = read_lines(lines)
    return last | {"curve": curve}


def environment(threads: int) -> dict[str, str]:
    """Return the variables under which either side runs: as many threads, no waiting in circles, no other device."""
    return os.environ | {
        "RECLOOP_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "",
    }


def read_lines(lines: Iterable[str]) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Return the epochs and the last figures; lines that are no JSON object are somebody else's.

    Raises:
        ComponentUnavailable: the last figures are missing.
    """
    found = [json.loads(line) for line in lines if line.startswith("{")]
    curve = [each for each in found if "epoch" in each]
    last = [each for each in found if "test" in each]
    if len(last) != 1:
        raise ComponentUnavailable(f"found {len(curve)} epochs and {len(last)} lines with test figures, expected one.")
    return curve, last[0]


def compare(ours: Sequence[Figures], theirs: Sequence[Figures]) -> dict[str, Any]:
    """Return what each needed to each target that both reached, our share of their seconds, and the best of each.

    >>> curve = [{"epoch": 1, "ndcg_at_10": 0.11, "seconds": 5.0, "cpu_seconds": 8.0}]
    >>> compare(curve, [{**curve[0], "cpu_seconds": 32.0}])["targets"][0]["cpu_ratio"]
    0.25
    """
    pairs = [(target, first_reaching(ours, target), first_reaching(theirs, target)) for target in TARGETS]
    return {
        "targets": [
            {
                "ndcg_at_10": target,
                "recloop": spent(our),
                "rectools": spent(their),
                "ratio": round(our["seconds"] / their["seconds"], 3),
                "cpu_ratio": round(our["cpu_seconds"] / their["cpu_seconds"], 3),
            }
            for target, our, their in pairs
            if our and their
        ],
        "best_ndcg_at_10": {name: best(curve) for name, curve in (("recloop", ours), ("rectools", theirs))},
    }


def first_reaching(curve: Iterable[Figures], target: float) -> Figures | None:
    """Return the first epoch whose NDCG@10 is the target or more."""
    return next((figures for figures in curve if figures["ndcg_at_10"] >= target), None)


def spent(figures: Figures) -> dict[str, float]:
    """Return the epoch and its seconds, rounded for reading."""
    return {"epoch": figures["epoch"]} | {name: round(figures[name], 1) for name in ("seconds", "cpu_seconds")}


def best(curve: Iterable[Figures]) -> float:
    """Return the highest NDCG@10; of no epoch, 0."""
    return max((figures["ndcg_at_10"] for figures in curve), default=0.0)


if __name__ == "__main__":
    sys.exit(main())
