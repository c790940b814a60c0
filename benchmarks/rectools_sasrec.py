"""Train RecTools' SASRec on a sequence file and measure it after each epoch as recloop's transformer is measured.

Runs in the environment that benchmarks.rectools makes, from the project's folder: reader, split and metrics are
recloop's own, so that both sides are ranked by the same lines of code.
In: lines of `user item` in time order, plain or .gz. Out, on stdout: a JSON line per epoch with the fields of
`training.retrieval.next_item.EpochFigures`; at the end one with the figures of the best epoch on the test items.
Run: python -m benchmarks.rectools_sasrec --train FILE --shape published
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop import cli
from training.costs import peak_memory_mb
from training.retrieval.item_sequences import ItemSequences, Rows, read_sequences
from training.retrieval.next_item import EpochFigures, hit_rate, measure, ndcg, rank_of

SHAPES = {
    # The library's defaults, with which RecTools' public benchmark has its ndcg@10 of .1779 on MovieLens-1M.
    "published": {"n_factors": 256, "n_heads": 4},
    # As large as recloop's transformer: cheaper epochs, but more of them.
    "small": {"n_factors": 64, "n_heads": 2},
}
COMMON = {"n_blocks": 2, "session_max_len": 100, "dropout_rate": 0.2, "loss": "softmax", "lr": 1e-3, "batch_size": 128}
EPOCHS = 200
"""The most epochs of their public benchmark."""

BATCH = 256


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and print a line per epoch."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rectools_sasrec", description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="`user item` a line, in time order; .gz is read")
    parser.add_argument("--shape", choices=SHAPES, default="published", help="default: %(default)s")
    parser.add_argument("--max-minutes", type=float, default=30, help="no epoch begins later (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="most epochs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=17, help="default: %(default)s")
    args = parser.parse_args(argv)
    return cli.run(lambda: run_sasrec(args))


def run_sasrec(args: argparse.Namespace) -> int:
    """Train on all but the last two items of each user; print what the best epoch does on the last."""
    deadline = time.monotonic() + args.max_minutes * 60
    known, test = read_sequences(args.train).held_back()
    config = COMMON | SHAPES[args.shape]
    model = fit(known, config, epochs=args.epochs, seed=args.seed, deadline=deadline)
    packages = {name: version(name) for name in ("rectools", "torch", "pytorch-lightning")}
    ranks = rank_targets(model, known, test)
    last = {"test": measure(ranks), "config": config, "packages": packages, "peak_memory_mb": peak_memory_mb()}
    print(json.dumps(last), flush=True)
    return 0


def fit(sequences: ItemSequences, config: dict[str, Any], *, epochs: int, seed: int, deadline: float) -> Any:
    """Return the RecTools model of the best epoch on each sequence's last item, which training does not see."""
    from pytorch_lightning import Trainer, seed_everything
    from pytorch_lightning.callbacks import LambdaCallback
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    seed_everything(seed)
    learned, held_back = sequences.held_back()
    model = SASRecModel(**config)
    figures: list[EpochFigures] = []
    best: dict[str, Any] = {}
    spent = Stopwatch()

    def after_epoch(trainer: Any, module: Any) -> None:
        spent.stop()
        ranks = rank_targets(model, learned, held_back)
        scores = ndcg(ranks, 10), hit_rate(ranks, 10)
        figures.append(EpochFigures(len(figures) + 1, *scores, spent.seconds, spent.cpu_seconds))
        print(json.dumps(asdict(figures[-1])), flush=True)
        if figures[-1] is max(figures, key=lambda each: each.ndcg_at_10):
            best.update(copy.deepcopy(module.torch_model.state_dict()))
        trainer.should_stop = time.monotonic() > deadline
        module.train()
        spent.start()

    # The model copies its trainer deeply before it fits; a function stays the same one in the copy.
    watch = LambdaCallback(on_train_start=lambda trainer, module: spent.start(), on_train_epoch_end=after_epoch)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    model._trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, enable_model_summary=False, callbacks=[watch], **quiet
    )
    model.fit(Dataset.construct(interactions(learned)))
    model.torch_model.load_state_dict(best)
    return model


class Stopwatch:
    """Wall and CPU seconds while it runs."""

    def __init__(self) -> None:
        self.seconds, self.cpu_seconds = 0.0, 0.0
        self._since = 0.0, 0.0

    def start(self) -> None:
        """Go on counting."""
        self._since = time.monotonic(), time.process_time()

    def stop(self) -> None:
        """Add what passed since the start."""
        self.seconds += time.monotonic() - self._since[0]
        self.cpu_seconds += time.process_time() - self._since[1]


def interactions(sequences: ItemSequences) -> Any:
    """Return RecTools' table; an item is its row of the catalogue, a time its place in the sequence."""
    import pandas as pd
    from rectools import Columns

    lengths = [len(items) for items in sequences.items]
    places = np.concatenate([np.arange(length) for length in lengths])
    return pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(len(lengths)), lengths),
            Columns.Item: np.concatenate(sequences.items),
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp("2000-01-01") + pd.to_timedelta(places, unit="s"),
        }
    )


def rank_targets(model: Any, sequences: ItemSequences, targets: Rows) -> NDArray[np.float64]:
    """Return the rank of each user's target among the items the user has not had, 0 at the top.

    An item that training never saw has no vector: it ranks last, and is left out of a user's history.
    """
    import torch

    net, prepared = model.torch_model.eval(), model.data_preparator
    rows = prepared.get_known_item_ids().astype(np.int64)
    codes = np.zeros(len(sequences.item_ids), dtype=np.int64)
    codes[rows] = prepared.get_known_items_sorted_internal_ids()
    ranks = []
    with torch.no_grad():
        vectors = net.item_model.get_all_embeddings()
        for first in range(0, len(targets), BATCH):
            own = sequences.items[first : first + BATCH]
            inputs = np.zeros((len(own), model.session_max_len), dtype=np.int64)
            for row, items in enumerate(own):
                history = codes[items][codes[items] > 0][-model.session_max_len :]
                inputs[row, model.session_max_len - len(history) :] = history
            last = net.encode_sessions({"x": torch.as_tensor(inputs)}, vectors)[:, -1]
            scores = np.full((len(own), len(codes)), -np.inf, dtype=np.float32)
            scores[:, rows] = (last @ vectors.T)[:, codes[rows]].numpy()
            ranks += [
                rank_of(scores[row], int(target), items)
                for row, (target, items) in enumerate(zip(targets[first : first + BATCH], own, strict=True))
            ]
    return np.array(ranks)


if __name__ == "__main__":
    sys.exit(main())
