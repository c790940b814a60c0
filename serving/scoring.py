"""Load a verified bundle into a recommender: ONNX for the user encoder, LightGBM for the heads, one thread each.

One thread per call, because requests run side by side; on two cores a second thread per call only adds waiting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from recloop.bundled_recommender import load_recommender
from recloop.bundles import BundleFile, Manifest, trees_file, verify
from recloop.errors import BundleError, BundleIncompatible
from recloop.golden import check_golden
from recloop.labels import Head
from recloop.ranker import HISTORY_INPUTS, ROW_INPUTS, Score, graph_inputs, tree_columns
from recloop.ranking import Matrix
from recloop.recommender import Predict, Recommender
from recloop.retrieval import Encode

ENCODER_INPUTS = ("items", "actions", "gaps")


def load_bundle(directory: Path) -> Recommender:
    """Verify a bundle, load it and score its golden batch.

    Raises:
        BundleTampered: a file is not what the manifest says; the message begins with its name.
        BundleIncompatible: it cannot be loaded here, or gives other answers than where it was made.
    """
    manifest = verify(directory)
    try:
        recommender = load_recommender(
            directory,
            manifest,
            encode=load_encoder(directory / BundleFile.USER_ENCODER),
            heads={head: load_head(directory, manifest, head) for head in manifest.heads},
            score=load_score(directory / BundleFile.RANKER) if BundleFile.RANKER in manifest.files else None,
        )
        check_golden(directory, recommender)
    except BundleError:
        raise
    except Exception as error:  # a bundle can be wrong in any way; whatever it is, it must not be served
        # Not repr: that of a missing file does not name it.
        what = f"{type(error).__name__}: {error}"
        raise BundleIncompatible(f"bundle {manifest.bundle_id} cannot be loaded: {what}. Train again.") from error
    return recommender


def load_encoder(path: Path) -> Encode:
    """Return the ONNX graph as a function of (items, actions, gaps)."""
    session = _session(path, ENCODER_INPUTS)

    def encode(items: NDArray[np.int64], actions: NDArray[np.int64], gaps: NDArray[np.int64]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = session.run(
            None, dict(zip(ENCODER_INPUTS, (items, actions, gaps), strict=True))
        )[0]
        return vectors

    return encode


def load_score(path: Path) -> Score:
    """Return the ranker's ONNX graph as the kernel takes it."""
    session = _session(path, (*HISTORY_INPUTS, *ROW_INPUTS))

    def score(*given: Any) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, graph_inputs(*given))[0]
        return logits

    return score


def _session(path: Path, inputs: tuple[str, ...]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # From bytes, not from the path: a graph given so cannot name further files to read.
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    found = {graph_input.name for graph_input in session.get_inputs()}
    if found != set(inputs):
        raise BundleIncompatible(f"{path.name} has inputs {sorted(found)}, expected {sorted(inputs)}.")
    return session


def load_head(directory: Path, manifest: Manifest, head: Head) -> Predict:
    """Return one head's LightGBM as a function of the ranking matrix."""
    path = directory / trees_file(head)
    booster = lightgbm.Booster(model_file=str(path))
    n_columns = len(tree_columns(manifest.ranking_features))
    if booster.num_feature() != n_columns:
        raise BundleIncompatible(
            f"{path.name} reads {booster.num_feature()} features, the manifest names {n_columns} for trees."
        )

    def predict(matrix: Matrix) -> NDArray[np.float64]:
        # LightGBM refuses an empty matrix.
        if not len(matrix):
            return np.empty(0)
        return np.asarray(booster.predict(matrix, num_threads=1), dtype=np.float64)

    return predict
