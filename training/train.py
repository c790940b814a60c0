"""Train the three model families on a training set, judge them on later time, and write the bundle.

In: the folder of `jobs.etl.build_training_set`; or a data source, of which the same folder is made here without Spark,
and then, after the judgement, the trees are grown anew on everything before DATE, the holdout too.
Out: a sealed bundle; the last line printed is a JSON object.
Run: python -m training.train --training-set DIR --out DIR [--epochs N] [--device cpu|cuda|auto] [--seed S]
     python -m training.train --data SOURCE:DIR --until DATE --out DIR [--warm-start BUNDLE] [...]
     torchrun --nproc-per-node N -m training.train [...] where the ranker's item table outgrows one device
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recloop import cli
from recloop.bundles import Manifest
from recloop.clock import SystemClock
from recloop.recommender import Recommender
from recloop.settings import DEVICE_CHOICES, FUSION_CHOICES, RANKER_CHOICES, Settings, load_settings
from recloop.sources import FORMS, open_source
from recloop.sources.base import moment
from training.bundle import Trained, ranking_features, write_bundle
from training.checkpoint import checkpoints_of
from training.costs import Stopwatch, peak_memory_mb
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.evaluate import Evaluation, evaluate
from training.judging.heads import judged_rows
from training.judging.parts import part_report
from training.registry import find_bundle
from training.retrieval.collaborative import train_collaborative
from training.retrieval.content import train_content
from training.retrieval.sequence import train_sequence
from training.retrieval.warm_start import LEARNED_UNTIL, WarmStart, read_warm_start
from training.source.read import source_folder
from training.stacking.gather import BaseModels, stack_rows
from training.stacking.plan import plan_ranking
from training.stacking.pooled import PooledRanker, ranker_forms
from training.stacking.stack import refit


def main(argv: Sequence[str] | None = None) -> int:
    """Train and write one bundle."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--training-set", type=Path, help="folder made by jobs.etl.build_training_set")
    data.add_argument("--data", metavar="SOURCE", help=FORMS)
    parser.add_argument("--until", type=cli.day_or_time, metavar="DATE", help="with --data: the last day to learn from")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle; replaced when it exists")
    parser.add_argument("--epochs", type=int, help="most epochs of the transformer (default: RECLOOP_EPOCHS)")
    parser.add_argument("--device", choices=DEVICE_CHOICES, help="default: RECLOOP_DEVICE")
    parser.add_argument(
        "--ranker",
        choices=RANKER_CHOICES,
        help="auto: the lightest form, or a heavier, if the heads are better with it (default: RECLOOP_RANKER)",
    )
    parser.add_argument(
        "--fusion", choices=FUSION_CHOICES, help="where the candidate comes in (default: RECLOOP_FUSION)"
    )
    parser.add_argument(
        "--warm-start",
        metavar="BUNDLE",
        help="start the transformer from this bundle's weights: a folder, or in MLflow models:/NAME@ALIAS or champion",
    )
    parser.add_argument("--seed", type=int, help="default: RECLOOP_SEED")
    args = parser.parse_args(argv)
    if bool(args.data) != bool(args.until):
        parser.error("--data and --until go together")

    def command() -> int:
        settings = load_settings(
            epochs=args.epochs, device=args.device, ranker=args.ranker, fusion=args.fusion, seed=args.seed
        )
        warm = open_warm_start(args.warm_start, settings) if args.warm_start else None
        if args.data:
            report = train_on_source(args.data, args.until, args.out, settings=settings, warm=warm)
        else:
            report = train(args.training_set, args.out, settings=settings, warm=warm)
        print(json.dumps(report))
        return 0

    # OpenMP's threads spin while they wait; beside other processes that made training fifteen times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return cli.run(command if int(os.environ.get("WORLD_SIZE", "1")) == 1 else partial(_share, command))


def _share(command: Callable[[], int]) -> int:
    """Run the command in one of the processes that torchrun started."""
    from training.ranker.processes import with_helpers

    return with_helpers(command)


def open_warm_start(address: str, settings: Settings) -> WarmStart:
    """Read a bundle to start from, by folder or MLflow address; see `find_bundle` and `read_warm_start` for errors."""
    with TemporaryDirectory(prefix="bundle-") as folder:
        return read_warm_start(find_bundle(address, Path(folder), settings))


def train_on_source(
    name: str, until: date | datetime, out: Path, *, settings: Settings, warm: WarmStart | None = None
) -> dict[str, Any]:
    """Train on a data source's events up to and including a day; see `train`.

    Raises:
        SourceError: a file of the source is missing, or is not what its format says.
        TrainingError: the events before the end cannot be used.
    """
    source = open_source(name, downloads=settings.var_dir / "data")
    with source_folder(source, until=moment(source, until, ends=True), settings=settings) as place:
        return train(place, out, settings=settings, refit_holdout=True, warm=warm)


def train(
    folder: Path, out: Path, *, settings: Settings, refit_holdout: bool = False, warm: WarmStart | None = None
) -> dict[str, Any]:
    """Train everything and write the bundle; return what the last line of the command says.

    With `refit_holdout` the metrics are those of the models before it, and the bundle's trees, ranker and statistics
    know the holdout too: what is served tomorrow should know yesterday. All is planned anew, and where the settings
    leave it open whether there is a ranker, that is decided then alone: more rows may bear one that fewer did not.
    Two bundles made so cannot be compared on that holdout.

    Until the bundle is whole, the models of each epoch and the bundle that is judged lie in a folder beside `out`: a
    run that was killed or failed goes on from there, and an earlier bundle at `out` stays. The manifest's throughput is
    that of all epochs, its seconds and memory are those of the process that ended the run.

    Raises:
        TrainingError: the training set cannot be used, or the loss stopped being a number; `out` is as it was then.
    """
    started, watch, checkpoints = time.monotonic(), Stopwatch(), checkpoints_of(out)
    with watch.part("read"):
        training_set = read_training_set(folder)
    base = train_base(training_set, settings, watch, checkpoints, warm)
    judged: list[Evaluation] = []
    parts: dict[str, Any] = {}
    created_at = SystemClock().now()

    def bundled(place: Path, trained: Trained) -> Manifest:
        def judge(recommender: Recommender) -> dict[str, Any]:
            if not judged:
                with watch.part("evaluate"):
                    judged.append(evaluate(recommender, training_set, settings=settings))
                    rows, _ = judged_rows(training_set, training_set.split.holdout_ms, training_set.split.end_ms)
                    parts.update(part_report(recommender, training_set, rows, seed=settings.seed))
            facts = {"learned_until_ms": trained.extras.statistics.until_ms, "parts": parts}
            return judged[0].to_dict() | facts | _costs(watch, trained, settings)

        return write_bundle(place, trained, created_at=created_at, seed=settings.seed, judge=judge)

    ranking = partial(train_ranking, training_set, base, watch=watch, checkpoints=checkpoints)
    undecided = refit_holdout and settings.ranker == "auto"
    judged_by = settings.model_copy(update={"ranker": "off"}) if undecided else settings
    place = checkpoints / "judged" if refit_holdout else out
    manifest = bundled(place, ranking(judged_by, end_ms=training_set.split.holdout_ms))
    if refit_holdout:
        manifest = bundled(out, ranking(settings, end_ms=training_set.split.end_ms))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {
        "rows_in": len(training_set.interactions.items) + len(training_set.examples),
        "rows_out": len(manifest.files),
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
        "bundle": str(out),
        "bundle_id": manifest.bundle_id,
        "offline": judged[0].offline,
        "heads": judged[0].heads,
        "parts": watch.seconds,
    }


def train_base(
    training_set: TrainingSet,
    settings: Settings,
    watch: Stopwatch,
    checkpoints: Path | None = None,
    warm: WarmStart | None = None,
) -> BaseModels:
    """Train the models that retrieve, on the base span; items that nobody touched get vectors from the catalogue."""
    with watch.part("collaborative"):
        collaborative = train_collaborative(training_set, seed=settings.seed)
    with watch.part("sequence"):
        sequence = train_sequence(
            training_set, epochs=settings.epochs, seed=settings.seed, device=settings.device,
            checkpoint=checkpoints / "sequence.pt" if checkpoints else None, warm=warm,
        )  # fmt: skip
    watch.throughput["transformer"] = sequence.throughput
    with watch.part("content"):
        content = train_content(training_set, collaborative, sequence, seed=settings.seed)
    return BaseModels(content.collaborative, content.sequence)


def train_ranking(
    training_set: TrainingSet,
    base: BaseModels,
    settings: Settings,
    *,
    end_ms: int,
    watch: Stopwatch,
    checkpoints: Path | None = None,
) -> Trained:
    """Train what ranks on the rows from the stack span's start to an end.

    The settings say which forms of the ranker are checked; one that they name stays, of several the heads choose.
    """
    seed = settings.seed
    with watch.part("rows"):
        extras, rows = stack_rows(training_set, base, end_ms=end_ms, seed=seed)
    names = ranking_features(extras)
    beside: PooledRanker | None = None
    if settings.ranker != "off":
        beside = PooledRanker(
            rows, names=names, vocabularies=extras.vocabularies, items=training_set.items,
            vectors=base.item_vectors(), epochs=settings.ranker_epochs, seed=seed, device=settings.device,
            forms=ranker_forms(settings),
            checkpoints=checkpoints / str(end_ms) if checkpoints else None,
        )  # fmt: skip
    plan = plan_ranking(rows, beside, names=names, always=settings.ranker != "auto", seed=seed, watch=watch)
    ranker = None
    if beside is not None and plan.form is not None:
        with watch.part("ranker"):
            ranker = beside.train_last(plan.form, plan.epochs)
    if beside is not None:
        watch.throughput["ranker"] = beside.results[-1].throughput
    with watch.part("stack"):
        stack = refit(plan.stack, rows, names=names, seed=seed)
    return Trained(training_set, base, extras, plan, stack, ranker)


def _costs(watch: Stopwatch, trained: Trained, settings: Settings) -> dict[str, Any]:
    sequence = trained.base.sequence
    facts: dict[str, Any] = {
        "seconds": dict(watch.seconds),
        "peak_memory_mb": peak_memory_mb(),
        "throughput": dict(watch.throughput),
        "transformer": {
            "epochs": sequence.epochs,
            "validation_loss": min(sequence.losses),
            "losses": sequence.losses,
            LEARNED_UNTIL: sequence.learned_until_ms,
            "started_from": sequence.started_from,
        },
        "trees": {str(head): rounds for head, rounds in trained.stack.rounds.items()},
    }
    if trained.plan.checks:
        checks = [own.to_dict() for own in trained.plan.checks]
        unchecked = list(trained.plan.unchecked)
        facts["ranker"] = {
            "served": trained.plan.form, "fusion": settings.fusion, "checks": checks, "unchecked": unchecked,
        }  # fmt: skip
    return facts


if __name__ == "__main__":
    sys.exit(main())
