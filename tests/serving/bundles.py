"""Small real bundles: a trained LightGBM, an ONNX graph, factors, a golden batch; sealed like a trained one."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from recloop.bundled_items import write_items
from recloop.bundled_recommender import load_recommender
from recloop.bundles import BundleFile, seal, trees_file, verify
from recloop.clock import MS_PER_DAY, to_ms
from recloop.golden import GoldenRequest, write_golden
from recloop.labels import Head
from recloop.ranker import RANKER_COLUMNS
from recloop.ranking import ITEM_NUMBER_COLUMNS, RANKING_FEATURES, Context, Items, UserState
from recloop.sequences import RecentActions
from serving.scoring import load_encoder, load_head, load_score

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW_MS = to_ms(NOW)
N_ITEMS, N_DIMENSIONS = 60, 8
HEADS = (Head.CLICK, Head.LIKE)
POPULAR = [f"i{row}" for row in range(30, 60)]
POPULAR_WITH_THE_YOUNG = ["i7", "i8", "i9"]


def tiny_items(n_items: int = N_ITEMS) -> Items:
    generator = np.random.default_rng(0)
    numbers = generator.random((n_items, len(ITEM_NUMBER_COLUMNS)))
    numbers[:, -3:] = [NOW_MS - 90 * MS_PER_DAY, 60_000, NOW_MS - 100 * MS_PER_DAY]
    return Items(
        ids=tuple(f"i{row}" for row in range(n_items)),
        titles=tuple(f"Item {row}" for row in range(n_items)),
        categories=tuple((("drama", "comedy", "crime")[row % 3],) for row in range(n_items)),
        authors=tuple(f"a{row % 7}" for row in range(n_items)),
        numbers=numbers,
        as_of_ms=NOW_MS - MS_PER_DAY,
    )


def train_head(
    path: Path,
    *,
    seed: int,
    rounds: int = 20,
) -> None:
    """Train on rows whose outcome follows the sequence score, so that what a user did moves the slate."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(2_000, len(RANKING_FEATURES)))
    score = rows[:, RANKING_FEATURES.index("sequence_score")]
    outcome = (generator.random(len(rows)) < 1 / (1 + np.exp(-2 * score))).astype(int)
    parameters = {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": seed}
    lightgbm.train(parameters, lightgbm.Dataset(rows, outcome), rounds).save_model(path)


def write_bundle(
    directory: Path,
    encoder: Path,
    *,
    name: str,
    seed: int,
    items: Items | None = None,
    ranker: Path | None = None,
) -> Path:
    """Write, answer the golden batch, seal."""
    directory.mkdir(parents=True)
    items = items or tiny_items()
    generator = np.random.default_rng(seed)
    write_items(directory, items)
    shutil.copy(encoder, directory / BundleFile.USER_ENCODER)
    for file in (BundleFile.CF_FACTORS, BundleFile.ITEM_VECTORS):
        np.save(directory / file, generator.normal(size=(len(items), N_DIMENSIONS)).astype(np.float32))
    columns: tuple[str, ...] = RANKING_FEATURES
    if ranker is not None:
        shutil.copy(ranker, directory / BundleFile.RANKER)
        columns = (*RANKING_FEATURES, *RANKER_COLUMNS)
    for place, head in enumerate(HEADS):
        train_head(directory / trees_file(head), seed=seed + place)
    texts: dict[str, Any] = {
        BundleFile.POPULARITY: {
            "all": [[item_id, 1.0] for item_id in POPULAR],
            "young": [[item_id, 1.0] for item_id in POPULAR_WITH_THE_YOUNG],
        },
        BundleFile.CALIBRATION: {head: {"x": [0.0, 1.0], "y": [0.0, 1.0]} for head in HEADS},
        BundleFile.VOCABULARIES: {"surface": {"home": 0}, "segment": {"young": 0}},
        BundleFile.GOLDEN: [],
    }
    for file, content in texts.items():
        (directory / file).write_text(json.dumps(content))
    (directory / BundleFile.MODEL_CARD).write_text(f"# {name}\n")
    seal_bundle(directory, name, columns)
    answer_golden(directory)
    seal_bundle(directory, name, columns)
    return directory


def answer_golden(directory: Path) -> None:
    manifest = verify(directory)
    recommender = load_recommender(
        directory,
        manifest,
        encode=load_encoder(directory / BundleFile.USER_ENCODER),
        heads={head: load_head(directory, manifest, head) for head in manifest.heads},
        score=load_score(directory / BundleFile.RANKER) if BundleFile.RANKER in manifest.files else None,
    )
    requests = [GoldenRequest(UserState("new"), Context(NOW_MS)), GoldenRequest(user_with("i0", "i3"), Context(NOW_MS))]
    write_golden(directory, recommender, requests)


def user_with(*item_ids: str) -> UserState:
    n = len(item_ids)
    return UserState("u", recent=RecentActions(item_ids, ("save",) * n, (NOW_MS - 60_000,) * n, (0,) * n))


def seal_bundle(directory: Path, name: str, columns: tuple[str, ...] = RANKING_FEATURES) -> None:
    facts = {
        "bundle_id": name,
        "ranking_features": columns,
        "heads": HEADS,
        "code_commit": "0" * 40,
        "data_snapshots": {},
        "cf_regularization": 0.1,
        "cf_alpha": 2.0,
        "metrics": {},
    }
    seal(directory, created_at=NOW, facts=facts)


def flip_bit(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
