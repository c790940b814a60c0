"""The trained ranker at work: in parts and from its file it says the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.errors import TrainingError
from tests.training.ranker_maker import SMALL, logits_of, make_model, make_rows
from training.ranker.rows import Fusion, RankerRows, RankerShape
from training.ranker.scoring import export_ranker, load_ranker, predict_ranker, save_ranker

SHAPES = [
    pytest.param(dataclasses.replace(SMALL, fusion=Fusion.CONCAT), id="concat"),
    pytest.param(dataclasses.replace(SMALL, fusion=Fusion.CROSS_ATTENTION), id="cross_attention"),
    pytest.param(dataclasses.replace(SMALL, use_transformer=False), id="mean_pool"),
    pytest.param(dataclasses.replace(SMALL, use_sequence=False), id="without_sequence"),
]
every_shape = pytest.mark.parametrize("shape", SHAPES)


def expected(model: Any, rows: RankerRows) -> Any:
    return 1 / (1 + np.exp(-logits_of(model, rows)))


@every_shape
@pytest.mark.parametrize("batch", [7, 1_000])
def test_parts_say_what_the_whole_says(shape: RankerShape, batch: int) -> None:
    model, rows = make_model(shape), make_rows(200)
    chances = predict_ranker(model, rows, batch)
    assert chances.dtype == np.float32
    np.testing.assert_allclose(chances, expected(model, rows), atol=1e-5)


def test_each_history_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = make_model(), make_rows(300)
    encoded = []
    encode = type(model).encode

    def counted(self: Any, *parts: Any) -> Any:
        encoded.append(len(parts[0]))
        return encode(self, *parts)

    monkeypatch.setattr(type(model), "encode", counted)
    predict_ranker(model, rows, 5)
    assert len(encoded) > 3
    assert sum(encoded) == len(rows.histories)


def test_no_rows_give_no_chances() -> None:
    assert predict_ranker(make_model(), make_rows().take(np.empty(0, dtype=np.int64))).shape == (0, 3)


@every_shape
def test_file_gives_the_same_model(shape: RankerShape, tmp_path: Path) -> None:
    model, rows = make_model(shape), make_rows()
    save_ranker(model, tmp_path / "ranker.pt")
    loaded = load_ranker(tmp_path / "ranker.pt")
    assert (loaded.shape, loaded.sizes) == (model.shape, model.sizes)
    np.testing.assert_array_equal(predict_ranker(loaded, rows), predict_ranker(model, rows))


def test_ranker_without_a_sequence_has_no_onnx_form(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="for comparisons only"):
        export_ranker(make_model(SHAPES[3].values[0]), tmp_path / "ranker.onnx")
