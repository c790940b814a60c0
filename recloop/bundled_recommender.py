"""The recommender of a bundle: made of its files and the heavy functions that its reader brings.

Serving and training both load with this module, so that a bundle answers alike wherever it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recloop.bundled_items import read_items
from recloop.bundles import BundleFile, Manifest, read_json
from recloop.collaborative import FoldIn
from recloop.errors import BundleIncompatible
from recloop.extras import Extras
from recloop.labels import Head
from recloop.ranker import RANKER_COLUMNS, Ranker, RankerInputs, Score, pool
from recloop.ranking import RANKING_FEATURES, Vocabularies
from recloop.recommender import Predict, Recommender
from recloop.retrieval import Encode
from recloop.statistics import Statistics


def load_recommender(
    directory: Path,
    manifest: Manifest,
    *,
    encode: Encode,
    heads: Mapping[Head, Predict],
    score: Score | None = None,
) -> Recommender:
    """Build the recommender of a verified bundle from its files and the heavy functions.

    `heads` give the trees' raw probabilities; the ranker's word and calibration are added here, so that every reader
    adds the same. `score` is the ranker's, in a bundle that has one.

    Raises:
        BundleIncompatible: the files make other columns than the heads were trained on.
    """
    items = read_items(directory)
    popularity = {
        segment: items.rows([item_id for item_id, _ in ranked])
        for segment, ranked in read_json(directory, BundleFile.POPULARITY).items()
    }
    calibration = read_json(directory, BundleFile.CALIBRATION)
    vocabularies = Vocabularies.from_json(read_json(directory, BundleFile.VOCABULARIES))
    extras = _load_extras(directory, manifest, vocabularies)
    own = extras.names if extras else ()
    ranker = Ranker(RankerInputs((*RANKING_FEATURES, *own), vocabularies), score) if score else None
    _check_columns(manifest, (*RANKING_FEATURES, *own, *(RANKER_COLUMNS if ranker else ())))
    return Recommender(
        manifest=manifest,
        items=items,
        vocabularies=vocabularies,
        extras=extras,
        ranker=ranker,
        popularity=popularity,
        fold_in=FoldIn(
            np.load(directory / BundleFile.CF_FACTORS, allow_pickle=False),
            regularization=manifest.cf_regularization,
            alpha=manifest.cf_alpha,
        ),
        item_vectors=np.load(directory / BundleFile.ITEM_VECTORS, allow_pickle=False),
        encode=encode,
        heads={
            head: calibrated(pooled(predict, head) if ranker else predict, calibration[head])
            for head, predict in heads.items()
        },
    )


def _load_extras(directory: Path, manifest: Manifest, vocabularies: Vocabularies) -> Extras | None:
    if BundleFile.STATISTICS not in manifest.files:
        return None
    return Extras(vocabularies, Statistics.load(directory / BundleFile.STATISTICS))


def _check_columns(manifest: Manifest, found: tuple[str, ...]) -> None:
    if found != manifest.ranking_features:
        raise BundleIncompatible(
            f"bundle {manifest.bundle_id} was trained on {len(manifest.ranking_features)} columns, its files give "
            f"{len(found)} or others. Train with this code."
        )


def pooled(predict: Predict, head: Head) -> Predict:
    """Return what trees say of a matrix and what the ranker's column says, as one."""
    n = len(RANKER_COLUMNS)
    place = list(Head).index(head) - n
    return lambda matrix: pool(predict(matrix[:, :-n]), matrix[:, place])


def calibrated(predict: Predict, points: Mapping[str, list[float]]) -> Predict:
    """Return `predict` passed through a rising piecewise-linear curve given as {"x": […], "y": […]}."""
    x, y = np.asarray(points["x"]), np.asarray(points["y"])
    return lambda matrix: np.interp(predict(matrix), x, y)
