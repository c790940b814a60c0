"""A tiny catalogue and recommender of plain numpy functions, and a sealed bundle around them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recloop.bundled_items import write_items
from recloop.bundled_recommender import load_recommender
from recloop.bundles import BundleFile, Manifest, seal, trees_file
from recloop.clock import MS_PER_DAY
from recloop.labels import Head
from recloop.ranking import ITEM_NUMBER_COLUMNS, RANKING_FEATURES, Context, Items, Matrix, UserState
from recloop.recommender import Recommender
from recloop.sequences import RecentActions

N_ITEMS, N_DIMENSIONS = 12, 4
AS_OF_MS = 100 * MS_PER_DAY
NOW = Context(AS_OF_MS + 5_000)
CREATED_AT = datetime(2022, 5, 1, tzinfo=UTC)


def tiny_items() -> Items:
    generator = np.random.default_rng(0)
    numbers = generator.random((N_ITEMS, len(ITEM_NUMBER_COLUMNS)))
    numbers[:, -3:] = [10 * MS_PER_DAY, 60_000, 20 * MS_PER_DAY]
    return Items(
        ids=tuple(f"i{row}" for row in range(N_ITEMS)),
        titles=tuple(f"Item {row}" for row in range(N_ITEMS)),
        categories=tuple(("even",) if row % 2 == 0 else ("odd", "rare") for row in range(N_ITEMS)),
        authors=tuple(f"a{row % 3}" for row in range(N_ITEMS)),
        numbers=numbers,
        as_of_ms=AS_OF_MS,
    )


def user(*item_ids: str, **fields: object) -> UserState:
    n = len(item_ids)
    recent = RecentActions(item_ids, ("save",) * n, tuple(AS_OF_MS + place for place in range(n)), (0,) * n)
    return UserState("u", recent=recent, **fields)  # type: ignore[arg-type]


def mean_encoder(items: NDArray[np.int64], actions: NDArray[np.int64], gaps: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sum one-hot codes of the items: a stand-in for the ONNX graph, which the kernel takes as a function."""
    vectors = np.zeros((len(items), N_DIMENSIONS), dtype=np.float32)
    for row, sequence in enumerate(items):
        for item in sequence[sequence > 0]:
            vectors[row, (item - 1) % N_DIMENSIONS] += 1
    return vectors


def click_head(matrix: Matrix) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-matrix[:, RANKING_FEATURES.index("sequence_score")].astype(np.float64)))


def write_tiny_bundle(directory: Path) -> Manifest:
    generator = np.random.default_rng(1)
    write_items(directory, tiny_items())
    np.save(directory / BundleFile.CF_FACTORS, generator.normal(size=(N_ITEMS, N_DIMENSIONS)).astype(np.float32))
    np.save(directory / BundleFile.ITEM_VECTORS, np.tile(np.eye(N_DIMENSIONS, dtype=np.float32), (N_ITEMS // 4, 1)))
    texts: dict[str, Any] = {
        BundleFile.POPULARITY: {"all": [["i3", 9.0], ["i1", 4.0], ["i0", 1.0]], "young": [["i5", 3.0], ["i3", 1.0]]},
        BundleFile.CALIBRATION: {Head.CLICK: {"x": [0.0, 1.0], "y": [0.0, 1.0]}},
        BundleFile.VOCABULARIES: {"surface": {"home": 0}, "segment": {"young": 0}},
    }
    for name, content in texts.items():
        (directory / name).write_text(json.dumps(content))
    (directory / trees_file(Head.CLICK)).write_text("tree\n")
    facts = {
        "bundle_id": "tiny-1",
        "ranking_features": RANKING_FEATURES,
        "heads": (Head.CLICK,),
        "code_commit": "0" * 40,
        "data_snapshots": {},
        "cf_regularization": 0.1,
        "cf_alpha": 2.0,
        "metrics": {},
    }
    return seal(directory, created_at=CREATED_AT, facts=facts)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    directory.mkdir()
    write_tiny_bundle(directory)
    return directory


@pytest.fixture
def recommender(bundle: Path) -> Recommender:
    from recloop.bundles import verify

    return load_recommender(bundle, verify(bundle), encode=mean_encoder, heads={Head.CLICK: click_head})
