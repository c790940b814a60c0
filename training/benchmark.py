"""Compare the models with what others published, on the same files and by the same protocol.

next-item: full-catalogue ranking of each user's held-back item. In: lines of `user item` in time order, plain or .gz,
and a test file with one item per user: `user item` lines, or the items alone in the order of the training file's users;
without a test file the last item of each user in the training file is held back for it.
Out: a JSON report with hr@{1,5,10}, ndcg@{5,10}, seconds and peak memory, and the curve of the epochs.
Run: python -m training.benchmark next-item --train FILE [--test FILE] --report FILE.json
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
from typing import Any

from recloop import cli
from recloop.settings import load_settings
from training.costs import peak_memory_mb
from training.retrieval.item_sequences import read_sequences, read_targets

EPOCHS, PATIENCE = 60, 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmark", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    next_item = names.add_parser("next-item", help="rank the whole catalogue for each user's held-back item")
    next_item.add_argument("--train", type=Path, required=True, help="`user item` a line, in time order; .gz is read")
    next_item.add_argument("--test", type=Path, help="one held-back item per user (default: the last of --train)")
    next_item.add_argument("--report", type=Path, required=True, help="JSON file to write")
    next_item.add_argument("--epochs", type=int, default=EPOCHS, help="most epochs (default: %(default)s)")
    next_item.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    next_item.add_argument("--seed", type=int, help="default: RECLOOP_SEED")
    args = parser.parse_args(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        report = run_next_item(args)
        args.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(json.dumps({name: value for name, value in report.items() if name != "curve"}))
        return 0

    return cli.run(command)


def run_next_item(args: argparse.Namespace) -> dict[str, Any]:
    """Train on one file, rank the targets of the other, return the report."""
    from training.retrieval.next_item import fit, measure, rank_targets
    from training.retrieval.sequence import choose_device
    from training.retrieval.sequence_model import Shape

    started, cpu_started = time.monotonic(), time.process_time()
    sequences = read_sequences(args.train)
    sequences, targets = (sequences, read_targets(args.test, sequences)) if args.test else sequences.held_back()
    device = choose_device(args.device)
    seed = load_settings().seed if args.seed is None else args.seed
    model, curve = fit(sequences, Shape(), epochs=args.epochs, patience=PATIENCE, seed=seed, device=device)
    return measure(rank_targets(model, sequences, targets)) | {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu_started, 1),
        "peak_memory_mb": peak_memory_mb(),
        "device": device,
        "seed": seed,
        "users": len(sequences.user_ids),
        "items": len(sequences.item_ids),
        "curve": [asdict(figures) for figures in curve],
    }


if __name__ == "__main__":
    sys.exit(main())
