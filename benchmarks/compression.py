"""Measure what a smaller ranker loses and saves: embedding rows in int8, fewer transformer layers, both.

In: a data source, a last day to learn from and days to judge on. For either form of fusion a ranker of two layers
learns from what was shown, and is then made smaller without learning again; beside it is one that learned with a layer.
Out: AUC and GAUC of clicks and likes with paired intervals against the whole ranker, bytes of its weights and of its
ONNX file, and milliseconds to score one request of 250 candidates with the longest history, as serving does; as JSON.
Run: python -m benchmarks.compression --data SOURCE:DIR --until DATE --from DATE --to DATE --out FILE.json
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.action_budget import WHOLE, figures, ranker_parts, samples_ms
from benchmarks.circumstances import circumstances
from recloop.cli import day_or_time, run
from recloop.ranker import BATCH_ROWS, Ranker, RankerInputs
from recloop.settings import Settings, load_settings
from recloop.sources import FORMS
from training.ablate import describe
from training.judging.baselines import Material
from training.judging.spans import read_sets
from training.ranker.rows import Fusion, ItemTable, RankerRows, RankerShape
from training.ranker.scoring import export_ranker, predict_ranker
from training.ranker.trainer import train_ranker
from training.reports import check_writable, write_report
from training.scoring import load_score

if TYPE_CHECKING:
    from training.ranker.model import RankerModel

LOG = logging.getLogger(__name__)

Smaller = Callable[["RankerModel"], "RankerModel"]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compression", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="SOURCE", help=FORMS)
    parser.add_argument("--until", type=day_or_time, required=True, metavar="DATE", help="the last day to learn from")
    parser.add_argument("--from", dest="start", type=day_or_time, required=True, metavar="DATE", help="first to judge")
    parser.add_argument("--to", dest="end", type=day_or_time, required=True, metavar="DATE", help="last, whole")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    args = parser.parse_args(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.out)
        started, settings = time.monotonic(), load_settings()
        training_set, later = read_sets(args.data, until=args.until, start=args.start, end=args.end, settings=settings)
        material = describe(training_set, later, end_ms=training_set.split.end_ms, settings=settings)
        found = {fusion: measure(material, RankerShape(fusion=fusion), settings) for fusion in Fusion}
        facts = {
            "command": (
                f"python -m benchmarks.compression --data {args.data.split(':')[0]}:DIR --until {args.until} "
                f"--from {args.start} --to {args.end} --out FILE.json"
            ),
            "circumstances": circumstances(),
            "seconds": round(time.monotonic() - started, 1),
        }
        write_report(args.out, facts | found)
        return 0

    return run(command)


def variants() -> dict[str, Smaller]:
    """Return the ways to make a ranker smaller."""
    from training.ranker.compression import prune_layers, quantise_tables

    return {
        "int8 rows": lambda model: quantise_tables(model).model,
        "1 layer left": lambda model: prune_layers(model, 1).model,
        "no layer left": lambda model: prune_layers(model, 0).model,
        "int8 rows, 1 layer left": lambda model: quantise_tables(prune_layers(model, 1).model).model,
    }


def measure(material: Material, shape: RankerShape, settings: Settings) -> dict[str, Any]:
    """Train a ranker of one form and hold its smaller ones beside it."""
    learned, judged, items = ranker_parts(material)
    users = material.judged.user_ids
    model = trained(learned, items, shape, settings)
    models = {name: smaller(model) for name, smaller in variants().items()}
    models["learned with 1 layer"] = trained(learned, items, replace(shape, n_layers=1), settings)
    whole = predict_ranker(model, judged)
    report = {WHOLE: figures(judged, users, whole, {}, settings.seed) | costs(model, material)}
    for name, own in models.items():
        chances = predict_ranker(own, judged)
        report[name] = figures(judged, users, chances, {WHOLE: whole}, settings.seed) | costs(own, material)
        LOG.info("%s, %s: %s", shape.fusion, name, report[name])
    return report


def trained(learned: RankerRows, items: ItemTable, shape: RankerShape, settings: Settings) -> RankerModel:
    """Return a ranker that learned from all rows."""
    epochs, seed, device = settings.ranker_epochs, settings.seed, settings.device
    return train_ranker(learned, None, shape, items=items, epochs=epochs, seed=seed, device=device).model


def costs(model: RankerModel, material: Material) -> dict[str, Any]:
    """Return the bytes of the weights and of the file, and the time of one request with the longest history.

    Of fewer rows than a request has candidates, some stand in it again.
    """
    rows = material.judged_here
    longest = int(rows.histories.lengths.argmax())
    candidates = rows.take(np.resize(np.arange(len(rows)), BATCH_ROWS))
    history = rows.histories.take(np.array([longest]))
    of_one = np.zeros(BATCH_ROWS, dtype=np.int64)
    inputs = RankerInputs(material.names, material.extras.vocabularies)
    with TemporaryDirectory(prefix="compression-") as folder:
        path = Path(folder) / "ranker.onnx"
        export_ranker(model, path)
        ranker, n_bytes = Ranker(inputs, load_score(path)), path.stat().st_size

        def score() -> None:
            ranker.columns(candidates.matrix, history, of_one, candidates.moments.items)

        samples = samples_ms(score)
    weights = sum(part.numel() * part.element_size() for part in (*model.parameters(), *model.buffers()))
    median = round(float(np.median(samples)), 2)
    return {"weight_bytes": weights, "file_bytes": n_bytes, "request_ms": median, "request_ms_samples": samples}


if __name__ == "__main__":
    sys.exit(main())
