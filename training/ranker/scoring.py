"""A trained ranker at work: probabilities of rows, one file of weights, one ONNX graph."""

from __future__ import annotations

import copy
import logging
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recloop.errors import TrainingError
from recloop.ranker import BATCH_ROWS, HISTORY_INPUTS, ROW_INPUTS, Score, cut_between, graph_inputs
from recloop.sequences import MAX_ACTIONS
from training.ranker.rows import Fusion, RankerRows, RankerShape, RankerSizes

if TYPE_CHECKING:
    from training.ranker.model import RankerModel


def predict_ranker(model: RankerModel, rows: RankerRows, batch: int = BATCH_ROWS) -> NDArray[np.float32]:
    """Return probabilities [n, heads]; each request's history is encoded once, however many rows ask it."""
    import torch

    from training.ranker.resident_rows import ResidentRows

    device = model.number_mean.device
    model.eval()
    chances = np.zeros((len(rows), model.sizes.n_heads), dtype=np.float32)
    resident = ResidentRows(rows, device)
    # Like lengths together: less padding.
    order = np.lexsort((rows.request, resident.lengths[rows.request]))
    with torch.inference_mode():
        for first, last in cut_between(rows.request[order], batch):
            part = resident.take(order[first:last])
            encoded = model.encode(*part.histories)
            for start in range(0, last - first, batch):
                logits = model.score(*encoded, *(own[start : start + batch] for own in part.rows))
                chances[order[first + start : first + start + len(logits)]] = logits.sigmoid().cpu().numpy()
    return chances


def torch_score(model: RankerModel) -> Score:
    """Return the model as the kernel takes it; bundles hold the ONNX graph of the same."""
    import torch

    device = model.number_mean.device
    model.eval()

    def score(*given: Any) -> NDArray[np.float32]:
        tensors = (torch.as_tensor(part, device=device) for part in graph_inputs(*given).values())
        with torch.inference_mode():
            logits: NDArray[np.float32] = model(*tensors).cpu().numpy()
        return logits

    return score


def save_ranker(model: RankerModel, path: Path) -> None:
    """Write sizes, shape and weights; no code of ours is in the file."""
    import torch

    shape = asdict(model.shape) | {"fusion": str(model.shape.fusion)}
    torch.save({"sizes": asdict(model.sizes), "shape": shape, "weights": model.state_dict()}, path)


def load_ranker(path: Path) -> RankerModel:
    """Return what `save_ranker` wrote, on the CPU, ready to score."""
    import torch

    from training.ranker.model import RankerModel

    saved = torch.load(path, map_location="cpu", weights_only=True)
    shape = RankerShape(**{**saved["shape"], "fusion": Fusion(saved["shape"]["fusion"])})
    model = RankerModel(RankerSizes(**saved["sizes"]), shape)
    model.load_state_dict(saved["weights"])
    return model.eval()


def export_ranker(model: RankerModel, path: Path) -> None:
    """Write the ranker as ONNX: histories [requests, n ≤ MAX_ACTIONS] and rows → `logits` float32 [rows, heads].

    Serving gives one request's history and its candidates, `request` all 0; catalogue codes and scales are inside.

    Raises:
        TrainingError: the model reads no history; the graph's first four inputs would then have fixed sizes.
    """
    import torch

    if not model.shape.use_sequence:
        raise TrainingError(
            "a ranker with use_sequence off is for comparisons only and has no ONNX form. Train with it on."
        )

    # The exporter tells of each of its passes.
    for name in ("onnx_ir", "onnxscript", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sizes = model.sizes
    histories = tuple(torch.zeros(2, MAX_ACTIONS, dtype=torch.int64) for _ in HISTORY_INPUTS)
    widths = (len(sizes.user_codes), len(sizes.context_codes))
    rows = (torch.tensor([0, 1, 1]), torch.zeros(3, dtype=torch.int64))
    codes = tuple(torch.zeros(3, width, dtype=torch.int64) for width in widths)
    dim = torch.export.Dim
    requests, n = dim("requests", min=1, max=65_536), dim("rows", min=1, max=2**20)
    history = {0: requests, 1: dim("length", min=1, max=MAX_ACTIONS)}
    with warnings.catch_warnings():
        # It says that inputs share a dimension, as they should.
        warnings.filterwarnings("ignore", message=".*will not be used, since it shares", category=UserWarning)
        program = torch.onnx.export(
            copy.deepcopy(model).cpu().eval(),
            (*histories, *rows, *codes, torch.zeros(3, sizes.n_numbers)),
            dynamo=True,
            input_names=[*HISTORY_INPUTS, *ROW_INPUTS],
            output_names=["logits"],
            dynamic_shapes=(*(history,) * len(HISTORY_INPUTS), *({0: n},) * len(ROW_INPUTS)),
            verbose=False,
        )
    assert program is not None, "with dynamo the exporter returns a program"
    program.save(path, external_data=False)
