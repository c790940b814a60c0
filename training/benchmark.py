"""Compare the models with what others published, on the same files and by the same protocol.

next-item: full-catalogue ranking of each user's held-back item. In: lines of `user item` in time order, plain or .gz,
and a test file with one item per user: `user item` lines, or the items alone in the order of the training file's users;
without a test file the last item of each user in the training file is held back for it.
Each user's last training item chooses the epoch; with --refit the model then learns anew, from those items too.
Out: a JSON report with hr@{1,5,10}, ndcg@{5,10}, seconds and peak memory, and the curve of the epochs.
Run: python -m training.benchmark next-item --train FILE [--test FILE] --report FILE.json [--size large --refit]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recloop import cli
from recloop.settings import DEVICE_CHOICES, load_settings
from training.costs import peak_memory_mb
from training.retrieval.item_sequences import read_sequences, read_targets

if TYPE_CHECKING:
    from training.retrieval.next_item import Recipe

EPOCHS, PATIENCE = 40, 8
SIZES = ("base", "large")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmark", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    next_item = names.add_parser("next-item", help="rank the whole catalogue for each user's held-back item")
    next_item.add_argument("--train", type=Path, required=True, help="`user item` a line, in time order; .gz is read")
    next_item.add_argument("--test", type=Path, help="one held-back item per user (default: the last of --train)")
    next_item.add_argument("--report", type=Path, required=True, help="JSON file to write")
    next_item.add_argument(
        "--size",
        choices=SIZES,
        default="base",
        help="base: as in the loop, for a CPU; large: for a GPU (default: base)",
    )
    next_item.add_argument("--epochs", type=int, default=EPOCHS, help="most epochs (default: %(default)s)")
    next_item.add_argument(
        "--refit", action="store_true", help="learn anew from all items, those too that chose the epoch"
    )
    next_item.add_argument("--device", choices=DEVICE_CHOICES, default="auto")
    next_item.add_argument("--seed", type=int, help="default: RECLOOP_SEED")
    args = parser.parse_args(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        report = run_next_item(args)
        args.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(json.dumps({name: value for name, value in report.items() if name != "curve"}))
        return 0

    return cli.run(command)


def recipe_of(size: str, epochs: int) -> Recipe:
    """Return how a model of this size learns; both were chosen by the training items held back of ML-1M."""
    from training.retrieval.next_item import Recipe
    from training.retrieval.sequence_model import Shape

    if size == "large":
        return Recipe(Shape(n_dimensions=256, n_heads=4, max_length=200), epochs, weight_decay=0.1)
    return Recipe(Shape(), epochs)


def run_next_item(args: argparse.Namespace) -> dict[str, Any]:
    """Train on one file, rank the targets of the other, return the report."""
    from training.retrieval.next_item import fit, measure, rank_targets, refit
    from training.retrieval.sequence import choose_device

    started, cpu_started = time.monotonic(), time.process_time()
    sequences = read_sequences(args.train)
    sequences, targets = (sequences, read_targets(args.test, sequences)) if args.test else sequences.held_back()
    device = choose_device(args.device)
    seed = load_settings().seed if args.seed is None else args.seed
    recipe = recipe_of(args.size, args.epochs)
    fitted = fit(sequences, recipe, patience=PATIENCE, seed=seed, device=device)
    model = fitted.model
    if args.refit:
        model = refit(sequences, recipe, epochs=fitted.best.epoch, seed=seed, device=device)
    return measure(rank_targets(model, sequences, targets)) | {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu_started, 1),
        "peak_memory_mb": peak_memory_mb(),
        "device": device,
        "seed": seed,
        "size": args.size,
        "refit": args.refit,
        "users": len(sequences.user_ids),
        "items": len(sequences.item_ids),
        "throughput": dict(fitted.throughput),
        "curve": [asdict(figures) for figures in fitted.curve],
    }


if __name__ == "__main__":
    sys.exit(main())
