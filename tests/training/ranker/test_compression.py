"""A compressed ranker: how far int8 rows and fewer layers may change what it says, and what they save."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recloop.errors import TrainingError
from tests.training.ranker_maker import N_ITEMS, SMALL, logits_of, make_model, make_rows
from training.ranker.rows import Fusion, RankerShape
from training.ranker.scoring import (
    HISTORY_INPUTS,
    ROW_INPUTS,
    export_ranker,
    load_ranker,
    predict_ranker,
    save_ranker,
)

if TYPE_CHECKING:
    from training.ranker.model import RankerModel

DEEP = dataclasses.replace(SMALL, n_layers=3)
SHAPES = [
    pytest.param(SMALL, id="cross_attention"),
    pytest.param(dataclasses.replace(SMALL, fusion=Fusion.CONCAT), id="concat"),
    pytest.param(dataclasses.replace(SMALL, use_transformer=False), id="mean_pool"),
]


def weights(model: RankerModel) -> dict[str, Any]:
    return {name: tensor.clone().numpy() for name, tensor in model.state_dict().items()}


def n_bytes(module: Any) -> int:
    return sum(tensor.nbytes for tensor in module.state_dict().values())


def assert_unchanged(model: RankerModel, before: dict[str, Any]) -> None:
    assert weights(model).keys() == before.keys()
    for name, tensor in weights(model).items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name)


def without(model: RankerModel, block: int) -> RankerModel:
    """Return the same model, in which one block adds nothing to its input."""
    import torch

    with torch.no_grad():
        for name in ("to_output", "narrow"):
            layer = getattr(model.sequence.transformer.blocks[block], name)  # type: ignore[union-attr]
            layer.weight.zero_()
            layer.bias.zero_()
    return model


def test_int8_row_is_within_half_a_step_of_what_it_was() -> None:
    import torch

    from training.ranker.compression import Int8Embedding

    torch.manual_seed(0)
    rows = torch.randn(50, 32) * torch.logspace(-4, 4, 50)[:, None]
    error = (Int8Embedding(rows)(torch.arange(50)) - rows).abs()
    step = rows.abs().amax(dim=1, keepdim=True) / 127
    assert (error <= step / 2 * 1.001).all()
    assert (error.amax(dim=1) > step[:, 0] / 4).all()


def test_largest_values_and_a_row_of_zeros_are_kept() -> None:
    import torch

    from training.ranker.compression import Int8Embedding

    # Steps of 254 / 127 = 2: 1 lies between the codes 0 and 1 and goes to the even one.
    table = Int8Embedding(torch.tensor([[254.0, -254.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]]))
    assert table.codes.tolist() == [[127, -127, 0, 1], [0, 0, 0, 0]]
    assert table.scales.tolist() == [[2.0], [1.0]]
    assert table(torch.tensor([[1], [0]])).tolist() == [[[0.0] * 4], [[254.0, -254.0, 0.0, 2.0]]]


@pytest.mark.parametrize("shape", SHAPES)
def test_int8_ranker_says_nearly_the_same(shape: RankerShape) -> None:
    from training.ranker.compression import quantise_tables

    model, rows = make_model(shape).train(), make_rows()
    before = weights(model)
    smaller = quantise_tables(model).model
    assert (model.training, smaller.training) == (True, False)
    chances, moved = predict_ranker(model, rows), predict_ranker(smaller, rows)
    assert np.ptp(chances) > 0.2
    np.testing.assert_allclose(moved, chances, atol=0.01)
    assert np.abs(moved - chances).max() > 0
    assert_unchanged(model, before)


def test_int8_rows_take_about_a_quarter() -> None:
    from training.ranker.compression import quantise_tables

    model = make_model(dataclasses.replace(SMALL, n_dimensions=32))
    done = quantise_tables(model)
    # A float32 row of 32 against 32 bytes and a scale: 128 and 36 bytes.
    assert n_bytes(model.items.ids) == (N_ITEMS + 1) * 128
    assert n_bytes(done.model.items) == (N_ITEMS + 1) * 36
    assert (done.n_bytes_before, done.n_bytes_after) == (n_bytes(model), n_bytes(done.model))
    # The items' codes and pretrained vectors are in the rows; without them there is more to save than three quarters.
    assert n_bytes(done.model.items) < n_bytes(model.items) / 5
    assert not [name for name in done.model.state_dict() if name.startswith("items.") and name.count(".") > 1]


@pytest.mark.parametrize("fusion", list(Fusion))
def test_pruning_drops_the_last_layers(fusion: Fusion) -> None:
    from training.ranker.compression import prune_layers

    model, rows = make_model(dataclasses.replace(DEEP, fusion=fusion)).train(), make_rows()
    before = weights(model)
    done = prune_layers(model, 1)
    assert (model.training, done.model.training) == (True, False)
    assert done.model.shape == dataclasses.replace(model.shape, n_layers=1)
    # A block of width 8 has two norms, 8 → 24, 8 → 8, 8 → 32 and 32 → 8, all with biases: floats of 4 bytes.
    assert done.n_bytes_before - done.n_bytes_after == 2 * 4 * (
        2 * 16 + 8 * 24 + 24 + 64 + 8 + 8 * 32 + 32 + 32 * 8 + 8
    )
    shorter = logits_of(done.model, rows)
    assert shorter.shape == (len(rows), 3)
    without(done.model, 0)
    assert_unchanged(model, before)
    np.testing.assert_allclose(shorter, logits_of(without(without(model, 1), 2), rows), atol=1e-5)


def test_layer_that_the_loss_does_not_miss_goes_first() -> None:
    from training.ranker.compression import prune_layers

    model, rows = without(make_model(DEEP), 0), make_rows()
    wanted, n_called = logits_of(model, rows), 0

    def loss(shorter: RankerModel) -> float:
        nonlocal n_called
        n_called += 1
        return float(np.abs(logits_of(shorter, rows) - wanted).mean())

    done = prune_layers(model, 2, validation_loss=loss)
    np.testing.assert_allclose(logits_of(done.model, rows), wanted, atol=1e-5)
    assert (loss(prune_layers(model, 2).model) > 1e-3, n_called) == (True, 3 + 1)
    assert prune_layers(model, 0, validation_loss=loss).model.shape.n_layers == 0
    assert n_called == 4 + 3 + 2 + 1


def test_of_layers_that_nothing_misses_the_last_go() -> None:
    from training.ranker.compression import prune_layers

    model = make_model(DEEP)
    assert_unchanged(prune_layers(model, 1, validation_loss=lambda _: 0.5).model, weights(prune_layers(model, 1).model))


@pytest.mark.parametrize(("shape", "n_layers"), [(DEEP, 4), (DEEP, -1), (SHAPES[2].values[0], 1)])
def test_more_layers_than_there_are_cannot_be_kept(shape: Any, n_layers: int) -> None:
    from training.ranker.compression import prune_layers

    with pytest.raises(TrainingError, match=rf"cannot keep {n_layers}; ask for 0 to"):
        prune_layers(make_model(shape), n_layers)


def test_pruned_ranker_is_read_from_its_file(tmp_path: Path) -> None:
    from training.ranker.compression import prune_layers

    shorter = prune_layers(make_model(DEEP), 1).model
    save_ranker(shorter, tmp_path / "ranker.pt")
    loaded = load_ranker(tmp_path / "ranker.pt")
    assert loaded.shape.n_layers == 1
    np.testing.assert_array_equal(predict_ranker(loaded, make_rows()), predict_ranker(shorter, make_rows()))


@pytest.mark.slow
def test_compressed_ranker_says_the_same_as_onnx_and_is_int8_there(tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    from training.ranker.compression import prune_layers, quantise_tables

    model, rows = make_model(DEEP), make_rows()
    smaller = quantise_tables(prune_layers(model, 1).model).model
    export_ranker(smaller, tmp_path / "ranker.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "ranker.onnx", providers=["CPUExecutionProvider"])
    inputs = {name: getattr(rows.histories, name) for name in HISTORY_INPUTS}
    logits = session.run(None, inputs | {name: getattr(rows, name) for name in ROW_INPUTS})[0]
    np.testing.assert_allclose(logits, logits_of(smaller, rows), atol=1e-4)
    stored = [part for part in onnx.load(tmp_path / "ranker.onnx").graph.initializer if list(part.dims) == [31, 8]]
    assert [part.data_type for part in stored] == [onnx.TensorProto.INT8]
