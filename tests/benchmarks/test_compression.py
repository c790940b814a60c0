"""Smaller rankers: each saves what it says and is held beside the whole one, on the same rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks import action_budget, compression
from benchmarks.compression import variants
from recloop.settings import Settings
from tests.training.ranker_maker import SMALL, make_model, make_rows
from tests.training.shown_log import DAY, FIRST_DAY, shown_log, write_log
from training.ablate import describe
from training.judging.spans import read_sets
from training.ranker.scoring import predict_ranker

pytestmark = pytest.mark.slow
DEEP = dataclasses.replace(SMALL, n_layers=2)


def test_each_variant_is_smaller_and_leaves_the_whole_ranker_as_it_was() -> None:
    model = make_model(DEEP)
    rows = make_rows()
    before = predict_ranker(model, rows)
    made = {name: smaller(model) for name, smaller in variants().items()}
    assert np.array_equal(predict_ranker(model, rows), before)
    sizes = {name: sum(part.nbytes for part in own.state_dict().values()) for name, own in made.items()}
    assert max(sizes.values()) < sum(part.nbytes for part in model.state_dict().values())
    assert sizes["no layer left"] < sizes["1 layer left"]
    assert sizes["int8 rows, 1 layer left"] < min(sizes["int8 rows"], sizes["1 layer left"])
    for own in made.values():
        assert predict_ranker(own, rows).shape == before.shape
        assert not np.array_equal(predict_ranker(own, rows), before)


def test_report_holds_smaller_rankers_beside_the_whole(
    tmp_path: Path, quick_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(action_budget, "FEW_RESAMPLES", 20)
    monkeypatch.setattr(action_budget, "N_REPEATS", 2)
    # Each form is written as ONNX, which takes the longest; those above are only the whole one made smaller.
    monkeypatch.setattr(compression, "variants", dict)
    source = f"events:{write_log(tmp_path / 'log', shown_log())}"
    until, judged = FIRST_DAY.date(), (FIRST_DAY + DAY).date()
    learned, later = read_sets(source, until=until, start=judged, end=judged, settings=quick_settings)
    material = describe(learned, later, end_ms=learned.split.end_ms, settings=quick_settings)
    # Fewer rows than a request has candidates: some stand in it again.
    few = dataclasses.replace(material, judged=material.judged.take(np.arange(compression.BATCH_ROWS - 50)))
    found = compression.measure(few, DEEP, quick_settings)
    assert list(found) == ["whole", "learned with 1 layer"]
    whole, shallow = found.values()
    assert set(whole["click"]) == {"positives", "auc", "gauc"}
    assert set(shallow["click"]) == {*whole["click"], "auc_less_whole", "gauc_less_whole"}
    assert shallow["weight_bytes"] < whole["weight_bytes"]
    assert shallow["file_bytes"] < whole["file_bytes"]
    assert len(whole["request_ms_samples"]) == 2
