"""Compare the models with what others published, on the same files and by the same protocol.

next-item: rank the whole catalogue for each user's held-back item, less what the user had.
Run: python -m training.benchmark next-item --train FILE [--test FILE] --report FILE.json [--size large --refit]

--train has lines `user item`, each user's in time order. --test names the held-back items, in one of two forms:
- lines `user item`, each user once. Users of --train who are not named are learned from and not ranked for; a user
  whom --train does not have is an error.
- one item a line, for every user of --train: line n belongs to the n-th user, in the order in which --train first
  names them.
Without --test the last item of each user in --train is held back for it. Files whose names end in .gz are unpacked.
Each user's last training item chooses the epoch; with --refit the model then learns anew, from those items too.

The report has hr@{1,5,10}, ndcg@{5,10}, seconds and peak memory, and the curve of the epochs. It counts `users_ranked`
and, in `targets_unseen`, the held-back items that training never saw: they stay in the denominator and rank last,
below every cut.

After each epoch the model is kept beside the report, in FILE.json.checkpoints, until the report is written: the same
command goes on from there after it was stopped. Seconds and memory count what was spent before, up to that epoch; the
seconds are those of RECLOOP_THREADS threads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recloop import cli
from recloop.errors import TrainingError
from recloop.settings import DEVICE_CHOICES, Settings, load_settings
from training.checkpoint import checkpoints_of
from training.costs import RunCosts
from training.reports import check_writable, write_report
from training.retrieval.item_sequences import ItemSequences, read_sequences, read_targets

if TYPE_CHECKING:
    from training.retrieval.next_item import Recipe

EPOCHS, PATIENCE = {"base": 30, "large": 40}, 8
"""Most epochs of each size: the learning rate falls over all of them, so fewer also learn faster at their end."""

LEAST_ITEMS = 3
"""A step from one item to the next to learn from, and one more item to choose the epoch."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark."""
    args = _parse(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.report)
        checkpoints = checkpoints_of(args.report)
        report = run_next_item(args, load_settings(seed=args.seed, device=args.device), checkpoints)
        write_report(args.report, report)
        shutil.rmtree(checkpoints, ignore_errors=True)
        print(json.dumps({name: value for name, value in report.items() if name != "curve"}))
        return 0

    return cli.run(command)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark", description=__doc__, formatter_class=as_written
    )
    names = parser.add_subparsers(dest="name", required=True)
    next_item = names.add_parser(
        "next-item", help="rank the whole catalogue for each user's held-back item",
        description=__doc__, formatter_class=as_written,
    )  # fmt: skip
    next_item.add_argument("--train", type=Path, required=True, metavar="FILE", help="lines `user item` in time order")
    next_item.add_argument(
        "--test", type=Path, metavar="FILE", help="one held-back item per user (default: the last of --train)"
    )
    next_item.add_argument("--report", type=Path, required=True, metavar="FILE", help="JSON file to write")
    next_item.add_argument(
        "--size",
        choices=EPOCHS,
        default="base",
        help="base: as in the loop, for a CPU; large: for a GPU (default: base)",
    )
    usual = " and ".join(f"{epochs} of {size}" for size, epochs in EPOCHS.items())
    next_item.add_argument("--epochs", type=int, help=f"most epochs (default: {usual})")
    next_item.add_argument(
        "--refit", action="store_true", help="learn anew from all items, those too that chose the epoch"
    )
    next_item.add_argument("--device", choices=DEVICE_CHOICES, help="default: RECLOOP_DEVICE")
    next_item.add_argument("--seed", type=int, help="default: RECLOOP_SEED")
    args = parser.parse_args(argv)
    if args.epochs is None:
        args.epochs = EPOCHS[args.size]
    if args.epochs < 1:
        next_item.error(f"--epochs is {args.epochs}; expected 1 or more, an untrained model is not ranked with")
    return args


def recipe_of(size: str, epochs: int) -> Recipe:
    """Return how a model of this size learns; both were chosen by the training items held back of ML-1M."""
    from training.retrieval.next_item import Recipe
    from training.retrieval.sequence_model import Shape

    if size == "large":
        shape = Shape(n_dimensions=256, n_heads=4, dropout=0.2, hidden_share=0.15, max_length=200)
        return Recipe(shape, epochs, weight_decay=0.1)
    return Recipe(Shape(), epochs)


def run_next_item(args: argparse.Namespace, settings: Settings, checkpoints: Path) -> dict[str, Any]:
    """Train on one file, rank the targets of the other, return the report.

    Raises:
        SourceError: a file cannot be read, or is not what `--help` says.
        TrainingError: no history is long enough to learn from, or the numbers of the model became none.
    """
    from training.retrieval.next_item import fit, measure, rank_targets, refit
    from training.retrieval.sequence import choose_device

    costs = RunCosts()
    sequences = read_sequences(args.train)
    _check_lengths(args, sequences)
    ranked, targets = read_targets(args.test, sequences) if args.test else sequences.held_back()
    learned = sequences if args.test else ranked
    device = choose_device(settings.device)
    recipe = recipe_of(args.size, args.epochs)
    fitted = fit(
        learned, recipe, patience=PATIENCE, seed=settings.seed, device=device,
        checkpoint=checkpoints / "fit.pt", costs=costs,
    )  # fmt: skip
    model = fitted.model
    if args.refit:
        model = refit(
            learned, recipe, epochs=fitted.best.epoch, seed=settings.seed, device=device,
            checkpoint=checkpoints / "refit.pt", costs=costs,
        )  # fmt: skip
    figures = measure(rank_targets(model, ranked, targets))
    return {
        **figures,
        **costs.to_dict(),
        "device": device,
        "seed": settings.seed,
        "threads": settings.threads,
        "size": args.size,
        "refit": args.refit,
        "users": len(sequences.user_ids),
        "users_ranked": len(targets),
        "targets_unseen": int((targets < 0).sum()),
        "items": len(sequences.item_ids),
        "throughput": dict(fitted.throughput),
        "curve": [asdict(epoch) for epoch in fitted.curve],
    }


def _check_lengths(args: argparse.Namespace, sequences: ItemSequences) -> None:
    """Refuse histories that leave nothing to learn from, where an untrained model would be reported."""
    longest, needed = max(map(len, sequences.items)), LEAST_ITEMS if args.test else LEAST_ITEMS + 1
    if longest < needed:
        raise TrainingError(
            f"{args.train} has {len(sequences.user_ids)} users, and the longest history has {longest} items; expected "
            f"one with {needed} at least: two to learn from, one to choose the epoch"
            f"{'' if args.test else ', and without --test one to rank'}. Give a file with longer histories"
            f"{'' if args.test else ', or the items to rank by --test'}."
        )


if __name__ == "__main__":
    sys.exit(main())
