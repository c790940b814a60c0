"""Load a bundle as serving does: verify, ONNX and LightGBM into the kernel's recommender, score the golden batch.

serving has a loader of its own; the golden batch, written through this one, is what holds the two together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.bundled_recommender import load_recommender
from recloop.bundles import BundleFile, Manifest, trees_file, verify
from recloop.golden import check_golden
from recloop.ranker import Score, graph_inputs
from recloop.ranking import Matrix
from recloop.recommender import Predict, Recommender
from recloop.retrieval import Encode
from training.threads import n_threads

MANY_ROWS = 5_000


def load_bundle(directory: Path) -> Recommender:
    """Verify a bundle, load it and score its golden batch.

    Raises:
        BundleTampered: a file is not what the manifest says.
        BundleIncompatible: it was made for other features, or answers its golden batch otherwise here.
    """
    recommender = load_models(directory, verify(directory))
    check_golden(directory, recommender)
    return recommender


def load_models(directory: Path, manifest: Manifest) -> Recommender:
    """Return the recommender of a verified bundle, its golden batch not yet looked at."""
    ranker = BundleFile.RANKER in manifest.files
    return load_recommender(
        directory,
        manifest,
        encode=load_encoder(directory / BundleFile.USER_ENCODER),
        heads={head: load_head(directory / trees_file(head)) for head in manifest.heads},
        score=load_score(directory / BundleFile.RANKER) if ranker else None,
    )


def load_encoder(path: Path) -> Encode:
    """Return the ONNX graph as a function of (items, actions, gaps)."""
    session = _session(path)

    def encode(items: NDArray[np.int64], actions: NDArray[np.int64], gaps: NDArray[np.int64]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = session.run(None, {"items": items, "actions": actions, "gaps": gaps})[0]
        return vectors

    return by_length(encode)


def by_length(encode: Encode, *, batch_size: int = 64) -> Encode:
    """Return an encoder that takes many sequences in batches of like length: less padding, and memory for one batch."""

    def encode_batches(*parts: NDArray[np.int64]) -> NDArray[np.float32]:
        lengths = (parts[0] > 0).sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        found = []
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            width = max(1, int(lengths[rows].max()))
            found.append(encode(*(part[rows, -width:] for part in parts)))
        return np.concatenate(found)[np.argsort(order)] if found else encode(*parts)

    return encode_batches


def load_score(path: Path) -> Score:
    """Return the ranker's ONNX graph as the kernel takes it."""
    session = _session(path)

    def score(*given: Any) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, graph_inputs(*given))[0]
        return logits

    return score


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads()
    # Threads that spin while they wait take the cores from whatever else runs here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena keeps what the largest batch ever took.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def load_head(path: Path) -> Predict:
    """Return one head's LightGBM as a function of the ranking matrix; raw, not yet calibrated."""
    import lightgbm

    booster, most = lightgbm.Booster(model_file=str(path)), n_threads()

    def predict(matrix: Matrix) -> NDArray[np.float64]:
        # LightGBM refuses an empty matrix.
        if not len(matrix):
            return np.empty(0)
        # A request's few hundred rows are done before a second thread has woken up.
        return np.asarray(booster.predict(matrix, num_threads=most if len(matrix) > MANY_ROWS else 1), dtype=np.float64)

    return predict
