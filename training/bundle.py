"""Write a bundle: all files, the golden batch, the model card, and the seal over them.

In: what was trained. Out: a folder that appears complete or not at all. It is written under a temporary name, judged
from there through the same loader that serving's twin is, and renamed last.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recloop.bundled_items import write_items
from recloop.bundles import BundleFile, Manifest, seal, trees_file, verify
from recloop.extras import Extras
from recloop.golden import GoldenRequest, write_golden
from recloop.ranker import RANKER_COLUMNS
from recloop.ranking import RANKING_FEATURES
from recloop.recommender import Recommender
from recloop.settings import PROJECT_DIR
from training.data.dataset import TrainingSet
from training.model_card import model_card
from training.ranker.scoring import export_ranker
from training.retrieval.warm_start import save_weights
from training.scoring import load_bundle, load_models
from training.stacking.gather import BaseModels
from training.stacking.plan import RankingPlan
from training.stacking.stack import Stack

if TYPE_CHECKING:
    from training.ranker.model import RankerModel

N_GOLDEN = 5
Judge = Callable[[Recommender], dict[str, Any]]


@dataclass(frozen=True)
class Trained:
    """Everything that goes into a bundle."""

    training_set: TrainingSet
    base: BaseModels
    extras: Extras
    plan: RankingPlan
    stack: Stack
    ranker: RankerModel | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the heads read, in order."""
        return (*ranking_features(self.extras), *(RANKER_COLUMNS if self.ranker is not None else ()))


def write_bundle(out: Path, trained: Trained, *, created_at: datetime, seed: int, judge: Judge) -> Manifest:
    """Write a bundle to `out`, which it replaces when it is whole.

    Args:
        out: folder of the bundle.
        trained: the models.
        created_at: when it is made.
        seed: what it was made with; part of its id.
        judge: called with the loaded recommender; returns the manifest's metrics.
    """
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write_models(part, trained)
        facts = _facts(trained, created_at, seed)
        # Sealed twice: the loader wants a manifest, and the manifest wants what only a loaded bundle tells.
        recommender = _load(part, seal(part, created_at=created_at, facts=facts | {"metrics": {}}))
        write_golden(part, recommender, _golden_requests(trained.training_set))
        metrics = judge(recommender)
        card = model_card(trained.training_set, facts, metrics, trained.stack)
        (part / BundleFile.MODEL_CARD).write_text(card, encoding="utf-8")
        manifest = seal(part, created_at=created_at, facts=facts | {"metrics": metrics})
        load_bundle(part)
        _replace(out, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _replace(place: Path, new: Path) -> None:
    """Move a folder to a place; what was there is deleted last, so that a process that dies here loses neither."""
    old = place.with_name(f"{place.name}.old")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _write_models(folder: Path, trained: Trained) -> None:
    write_items(folder, trained.training_set.items)
    np.save(folder / BundleFile.CF_FACTORS, trained.base.collaborative.factors, allow_pickle=False)
    np.save(folder / BundleFile.ITEM_VECTORS, trained.base.sequence.item_vectors(), allow_pickle=False)
    (folder / BundleFile.USER_ENCODER).write_bytes(trained.base.sequence.encoder)
    save_weights(trained.base.sequence.model, folder / BundleFile.TRANSFORMER)
    trained.extras.statistics.save(folder / BundleFile.STATISTICS)
    if trained.ranker is not None:
        export_ranker(trained.ranker, folder / BundleFile.RANKER)
    texts: dict[str, Any] = {
        BundleFile.POPULARITY: trained.training_set.popularity,
        BundleFile.VOCABULARIES: trained.extras.vocabularies.codes,
        BundleFile.CALIBRATION: trained.stack.curves,
    }
    for name, content in texts.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    for head, text in trained.stack.texts.items():
        (folder / trees_file(head)).write_text(text, encoding="utf-8")


def ranking_features(extras: Extras) -> tuple[str, ...]:
    """Return the names of the columns before the ranker's, in order."""
    return (*RANKING_FEATURES, *extras.names)


def _facts(trained: Trained, created_at: datetime, seed: int) -> dict[str, Any]:
    snapshots = {name: str(value) for name, value in trained.training_set.snapshot.get("snapshots", {}).items()}
    return {
        "bundle_id": f"{created_at:%Y%m%d-%H%M%S}-seed-{seed}",
        "ranking_features": trained.columns,
        "heads": tuple(trained.stack.texts),
        "code_commit": code_commit(),
        "data_snapshots": snapshots,
        "cf_regularization": trained.base.collaborative.regularization,
        "cf_alpha": trained.base.collaborative.alpha,
    }


def _load(folder: Path, manifest: Manifest) -> Recommender:
    verify(folder)
    return load_models(folder, manifest)


def _golden_requests(training_set: TrainingSet) -> list[GoldenRequest]:
    """Return moments spread over the examples, the last with a user nobody knows."""
    rows = np.linspace(0, len(training_set.examples) - 1, N_GOLDEN).astype(int)
    known = [GoldenRequest(training_set.user_state(int(row)), training_set.context(int(row))) for row in rows]
    stranger = type(known[0].user)("nobody")
    return [*known, GoldenRequest(stranger, known[-1].context)]


def code_commit() -> str:
    """Return the commit of the code; `unknown` outside a repository."""
    command = ["git", "-C", str(PROJECT_DIR), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
