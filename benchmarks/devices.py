"""Measure how fast the models that torch trains learn on this machine's CPU and, where there is one, on its GPU.

In: a folder in KuaiRand's format, of which a share of the users is taken, and the last day to learn from.
The transformer and the ranker learn for some steps on each device: at the size and with the mini-batches of the loop
(`served`), and larger with more rows at a time (`wide`), as a GPU is built for.
Out: samples and operations per second of each case, on CUDA the share of the peak (MFU), device time and memory, and
the ratio of the devices; as JSON.
Run: python -m benchmarks.devices --data kuairand:DIR --until DATE --out FILE.json [--share 0.1]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.cold_items import circumstances
from benchmarks.growth import KIND, copy_users
from recloop.cli import day_or_time, run
from recloop.errors import ConfigurationError
from recloop.ranker import RankerInputs
from recloop.settings import Settings, load_settings
from recloop.sources import open_source
from recloop.sources.base import moment
from training.bundle import ranking_features
from training.costs import Stopwatch
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.ranker.rows import ItemTable, RankerRows, RankerShape
from training.ranker.trainer import RankerSchedule, RankerTrainer
from training.retrieval.sequence import N_THREADS
from training.retrieval.sequence_trainer import Schedule, SequenceTrainer
from training.retrieval.windows import Windows, make_windows
from training.source.build import build_source_set
from training.stacking.gather import stack_rows
from training.stacking.ranker_rows import item_table, ranker_rows
from training.train import train_base

if TYPE_CHECKING:
    from training.retrieval.sequence_model import Shape

LOG = logging.getLogger(__name__)
MIN_STEPS = {"cpu": 12, "cuda": 200}
"""Epochs are repeated until there were so many; the first few steps count operations and are not timed."""

WIDE_BATCH, WIDE_ROWS = 128, 2_000
Trainer = SequenceTrainer | RankerTrainer


@dataclass(frozen=True)
class Case:
    """A model at a size; `make` returns a new trainer on a device and its number of steps in an epoch."""

    name: str
    make: Callable[[str], tuple[Trainer, int]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.devices", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="kuairand:DIR")
    parser.add_argument("--until", type=day_or_time, required=True, metavar="DATE", help="the last day to learn from")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--share", type=float, default=0.1, help="of the users (default: %(default)s)")
    args = parser.parse_args(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if not args.data.startswith(KIND):
            raise ConfigurationError(f"--data is {args.data!r}; expected {KIND}DIR, of whose users a share is taken.")
        training_set = read_share(Path(args.data.removeprefix(KIND)), args.until, args.share)
        given = f"--data {KIND}DIR --until {args.until} --share {args.share}"
        found: dict[str, Any] = {"command": f"python -m benchmarks.devices {given}", **circumstances(), **hardware()}
        found["cases"] = {case.name: measure(case) for case in cases(training_set, load_settings())}
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(found["cases"]))
        return 0

    return run(command)


def read_share(folder: Path, until: date | datetime, share: float) -> TrainingSet:
    """Return the training set of a share of the users."""
    settings = load_settings()
    with TemporaryDirectory(prefix="devices-") as place:
        data, made = Path(place) / "data", Path(place) / "set"
        copy_users(folder, data, share=share, times=1)
        source = open_source(f"{KIND}{data}", downloads=settings.var_dir / "data")
        window = timedelta(hours=settings.attribution_window_hours)
        build_source_set(source, made, until=moment(source, until, ends=True), window=window, seed=settings.seed)
        return read_training_set(made)


def hardware() -> dict[str, Any]:
    """Return what learned."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": platform.processor() or platform.machine(),
        "threads": N_THREADS,
        "gpu": gpu,
        "torch": torch.__version__,
    }


def cases(training_set: TrainingSet, settings: Settings) -> Iterator[Case]:
    """Yield the transformer and the ranker, each as served and wide."""
    from training.retrieval.sequence_model import Shape

    split = training_set.split
    windows = make_windows(training_set, start_ms=split.start_ms, end_ms=split.stack_ms)
    n_items = len(training_set.items)
    for name, shape, batch in (
        ("served", Shape(), Schedule.batch_size),
        ("wide", Shape(n_dimensions=256, n_heads=4), WIDE_BATCH),
    ):
        yield Case(f"transformer, {name}", partial(transformer_trainer, windows, n_items, shape, batch))
    base = train_base(training_set, settings.model_copy(update={"epochs": 1}), Stopwatch())
    extras, rows = stack_rows(training_set, base, end_ms=split.end_ms, seed=settings.seed)
    learned = ranker_rows(rows, RankerInputs(ranking_features(extras), extras.vocabularies))
    items = item_table(training_set.items, base.item_vectors())
    for name, form, n_rows in (
        ("served", RankerShape(), RankerSchedule.batch_rows),
        ("wide", RankerShape(n_dimensions=128), WIDE_ROWS),
    ):
        yield Case(f"ranker, {name}", partial(ranker_trainer, learned, items, form, n_rows))


def transformer_trainer(windows: Windows, n_items: int, shape: Shape, batch: int, device: str) -> tuple[Trainer, int]:
    """Return a new transformer's trainer, and its steps in an epoch."""
    from training.retrieval.sequence_model import SequenceModel

    n = min(len(windows), MIN_STEPS[device] * batch)
    schedule = Schedule(1_000, batch, windows_per_epoch=n)
    model = SequenceModel(n_items, shape).to(device)
    return SequenceTrainer(model, windows, schedule, device=device, seed=0), max(1, n // batch)


def ranker_trainer(
    rows: RankerRows, items: ItemTable, shape: RankerShape, n_rows: int, device: str
) -> tuple[Trainer, int]:
    """Return a new ranker's trainer, and its steps in an epoch."""
    from training.ranker.model import new_ranker

    rows = rows.take(np.arange(min(len(rows), MIN_STEPS[device] * n_rows // 2)))
    model = new_ranker(rows, items, shape).to(device)
    schedule = RankerSchedule(batch_rows=n_rows)
    trainer = RankerTrainer(model, rows, schedule, epochs=1_000, device=device, seed=0)
    return trainer, max(1, len(rows) // n_rows)


def measure(case: Case) -> dict[str, Any]:
    """Return what each device gave, and the ratio of their samples per second."""
    import torch

    torch.set_num_threads(N_THREADS)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    found: dict[str, Any] = {device: learn(case, device) for device in devices}
    if "cuda" in found:
        found["ratio"] = round(found["cuda"]["samples_per_s"] / found["cpu"]["samples_per_s"], 2)
    LOG.info("%s: %s", case.name, found)
    return found


def learn(case: Case, device: str) -> dict[str, float]:
    """Train for some steps; return what the meter says of them."""
    import torch

    torch.manual_seed(0)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer, n_steps = case.make(device)
    for epoch in range(1, 1 + -(-MIN_STEPS[device] // n_steps)):
        trainer.run_epoch(epoch)
    return trainer.meter.to_dict()


if __name__ == "__main__":
    sys.exit(main())
