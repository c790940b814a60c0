"""Measure how fast the models that torch trains learn on this machine's CPU and, where there is one, on its GPU.

In: a folder in KuaiRand's format, of which a share of the users is taken, and the last day to learn from.
The transformer and the ranker learn for some steps on each device: at the size and with the mini-batches of the loop
(`served`), and larger with more rows at a time (`wide`), as a GPU is built for.
Out: samples and operations per second of each case, on CUDA the share of the peak (MFU), device time and memory, and
the ratio of the devices; what torch.compile gains once it has compiled, and how long that takes; what a GPU gains that
holds the rows; how much of the mini-batches is padding, which is what packing them without would save at most; as JSON.
torch.compile calls g++ on the CPU.
Run: python -m benchmarks.devices --data kuairand:DIR --until DATE --out FILE.json [--share 0.1]
     [--case "ranker, mean" ...] [--device cuda ...]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.circumstances import circumstances
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
from training.ranker.batches import pieces, user_batches
from training.ranker.rows import ItemTable, RankerRows, RankerShape
from training.ranker.trainer import PIECE_ROWS, RankerSchedule, RankerTrainer
from training.reports import check_writable, write_report
from training.retrieval.sequence_trainer import Schedule, SequenceTrainer, like_lengths
from training.retrieval.windows import Windows, make_windows
from training.source.read import read_source_set
from training.stacking.gather import stack_rows
from training.stacking.pooled import RANKER_FORMS
from training.stacking.ranker_rows import item_table, ranker_rows
from training.threads import n_threads
from training.train import train_base

if TYPE_CHECKING:
    from training.retrieval.sequence_model import Shape

LOG = logging.getLogger(__name__)
MIN_STEPS = {"cpu": 12, "cuda": 200}
"""Epochs are repeated until there were so many; the first few steps count operations and are not timed."""

TURNS = 4
"""So many epochs of either of two ways to run them; the first of each is not held beside the other."""

WIDE_BATCH, WIDE_ROWS = 128, 2_000
TRANSFORMERS = ("transformer, served", "transformer, wide")
RANKERS: Mapping[str, tuple[RankerShape, int]] = {
    **{f"ranker, {form}": (shape, RankerSchedule.batch_rows) for form, shape in RANKER_FORMS.items()},
    "ranker, transformer, wide": (RankerShape(n_dimensions=128), WIDE_ROWS),
}
NAMES = (*TRANSFORMERS, *RANKERS)
Trainer = SequenceTrainer | RankerTrainer


@dataclass(frozen=True)
class Case:
    """A model at a size; `make` returns a new trainer on a device and its number of steps in an epoch.

    `padding` is the share of the histories' places in its mini-batches that hold no action.
    """

    name: str
    make: Callable[[str], tuple[Trainer, int]]
    padding: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.devices", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="kuairand:DIR")
    parser.add_argument("--until", type=day_or_time, required=True, metavar="DATE", help="the last day to learn from")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--share", type=float, default=0.1, help="of the users (default: %(default)s)")
    parser.add_argument("--case", action="append", choices=NAMES, help="may come again (default: each)")
    parser.add_argument("--device", action="append", choices=MIN_STEPS, help="may come again (default: what there is)")
    args = parser.parse_args(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.out)
        if not args.data.startswith(KIND):
            raise ConfigurationError(f"--data is {args.data!r}; expected {KIND}DIR, of whose users a share is taken.")
        training_set = read_share(Path(args.data.removeprefix(KIND)), args.until, args.share)
        given = f"--data {KIND}DIR --until {args.until} --share {args.share}"
        given += "".join(f' --case "{name}"' for name in args.case or ())
        given += "".join(f" --device {name}" for name in args.device or ())
        found: dict[str, Any] = {"command": f"python -m benchmarks.devices {given}", **circumstances(), **hardware()}
        wanted = cases(training_set, load_settings(), set(args.case or NAMES))
        found["cases"] = {case.name: measure(case, args.device or there()) for case in wanted}
        write_report(args.out, found)
        print(json.dumps(found["cases"]))
        return 0

    return run(command)


def read_share(folder: Path, until: date | datetime, share: float) -> TrainingSet:
    """Return the training set of a share of the users."""
    settings = load_settings()
    with TemporaryDirectory(prefix="devices-") as place:
        data = Path(place) / "data"
        copy_users(folder, data, share=share, times=1)
        source = open_source(f"{KIND}{data}", downloads=settings.var_dir / "data")
        return read_source_set(source, until=moment(source, until, ends=True), settings=settings)


def hardware() -> dict[str, Any]:
    """Return what learned."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": platform.processor() or platform.machine(),
        "threads": n_threads(),
        "gpu": gpu,
        "torch": torch.__version__,
    }


def there() -> list[str]:
    """Return the devices of this machine."""
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def cases(training_set: TrainingSet, settings: Settings, names: Set[str]) -> Iterator[Case]:
    """Yield those cases that are wanted."""
    from training.retrieval.sequence_model import Shape

    split = training_set.split
    windows = make_windows(training_set, start_ms=split.start_ms, end_ms=split.stack_ms)
    n_items = len(training_set.items)
    served, wide = (Shape(), Schedule.batch_size), (Shape(n_dimensions=256, n_heads=4), WIDE_BATCH)
    for name, (shape, batch) in zip(TRANSFORMERS, (served, wide), strict=True):
        if name in names:
            make = partial(transformer_trainer, windows, n_items, shape, batch)
            yield Case(name, make, padding_of_windows(windows, batch))
    if names.isdisjoint(RANKERS):
        return
    base = train_base(training_set, settings.model_copy(update={"epochs": 1}), Stopwatch())
    extras, rows = stack_rows(training_set, base, end_ms=split.end_ms, seed=settings.seed)
    learned = ranker_rows(rows, RankerInputs(ranking_features(extras), extras.vocabularies))
    items = item_table(training_set.items, base.item_vectors())
    for name, (form, n_rows) in RANKERS.items():
        if name in names:
            make = partial(ranker_trainer, learned, items, form, n_rows)
            yield Case(name, make, padding_of_rows(learned, n_rows))


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


def padding_of_windows(windows: Windows, batch: int) -> float:
    """Return the share of padding in an epoch of the transformer's mini-batches."""
    lengths = windows.lengths
    return _padding(lengths[part] for part in like_lengths(lengths, batch, np.random.default_rng(0)))


def padding_of_rows(rows: RankerRows, n_rows: int) -> float:
    """Return the share of padding in an epoch of the ranker's mini-batches, cut as on a CPU.

    Each history counts once per piece.
    """
    lengths = rows.histories.lengths
    batches = user_batches(rows.users, n_rows, np.random.default_rng(0))
    parts = (part for batch in batches for part in pieces(rows, batch, PIECE_ROWS["cpu"]))
    return _padding(lengths[np.unique(rows.request[part])] for part in parts)


def _padding(batches: Iterable[NDArray[np.integer]]) -> float:
    """Return the share of places, as many per history as the longest of its mini-batch has, that hold nothing."""
    known, places = np.sum([(lengths.sum(), len(lengths) * lengths.max()) for lengths in batches], axis=0)
    return round(1 - float(known / places), 4)


def measure(case: Case, devices: Sequence[str], backend: str = "inductor") -> dict[str, Any]:
    """Return what each device gave, plain and compiled by that backend of torch, and the devices' ratio."""
    import torch

    torch.set_num_threads(n_threads())
    found: dict[str, Any] = {"padding": case.padding}
    for device in devices:
        found[device] = learn(case, device) | {"compiled": learn_compiled(case, device, backend)}
    if "cuda" in found:
        found["cuda"]["resident"] = learn_resident(case)
    if {"cpu", "cuda"} <= found.keys():
        found["ratio"] = round(found["cuda"]["samples_per_s"] / found["cpu"]["samples_per_s"], 2)
    LOG.info("%s: %s", case.name, found)
    return found


def learn(case: Case, device: str) -> dict[str, Any]:
    """Train for some steps; return what the meter says of them."""
    import torch

    torch.manual_seed(0)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer, n_steps = case.make(device)
    for epoch in range(1, 1 + -(-MIN_STEPS[device] // n_steps)):
        trainer.run_epoch(epoch)
    return trainer.meter.to_dict()


def learn_compiled(case: Case, device: str, backend: str) -> dict[str, Any]:
    """Train plain and compiled by turns; the first compiled epoch takes `compile_seconds` more than the later ones."""
    import torch

    torch.manual_seed(0)
    trainer, _ = case.make(device)
    plain = trainer.model.forward
    compiled = torch.compile(plain, dynamic=True, backend=backend)

    def run(forward: Callable[..., Any], epoch: int) -> None:
        trainer.model.forward = forward  # type: ignore[method-assign]
        trainer.run_epoch(epoch)

    found = by_turns(device, {"plain": partial(run, plain), "compiled": partial(run, compiled)})
    seconds = found["compiled_seconds"]
    return found | {"compile_seconds": round(seconds[0] - min(seconds[1:]), 1)}


def learn_resident(case: Case) -> dict[str, Any]:
    """Train by turns on rows that the GPU holds and on rows that stay with the host."""
    import torch

    from training import resident

    torch.manual_seed(0)
    share, resident.GPU_SHARE = resident.GPU_SHARE, 0.0
    try:
        sent, _ = case.make("cuda")
    finally:
        resident.GPU_SHARE = share
    held, _ = case.make("cuda")
    return by_turns("cuda", {"sent": sent.run_epoch, "held": held.run_epoch})


def by_turns(device: str, ways: Mapping[str, Callable[[int], object]]) -> dict[str, Any]:
    """Run epochs one way and the other; `gain` is the ratio of their best seconds, first over second."""
    import torch

    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(1, TURNS + 1):
        for name, run_epoch in ways.items():
            started = time.monotonic()
            run_epoch(epoch)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(round(time.monotonic() - started, 3))
    before, after = (min(own[1:]) for own in seconds.values())
    return {"gain": round(before / after, 3), **{f"{name}_seconds": own for name, own in seconds.items()}}


if __name__ == "__main__":
    sys.exit(main())
