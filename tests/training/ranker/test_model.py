"""The ranker's model: what may change a score, and what must not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from recloop.histories import gap_buckets
from tests.training.ranker_maker import (
    N_ITEMS,
    PARTS,
    SMALL,
    logits_of,
    make_items,
    make_model,
    make_rows,
    with_histories,
)
from training.ranker.rows import Fusion, RankerShape

SHAPES = [
    pytest.param(dataclasses.replace(SMALL, fusion=Fusion.CONCAT), id="concat"),
    pytest.param(dataclasses.replace(SMALL, fusion=Fusion.CROSS_ATTENTION), id="cross_attention"),
    pytest.param(dataclasses.replace(SMALL, use_transformer=False), id="mean_pool"),
]
every_shape = pytest.mark.parametrize("shape", SHAPES)


@every_shape
def test_padding_changes_nothing(shape: RankerShape) -> None:
    model, rows = make_model(shape), make_rows()
    padding = rows.histories.items == 0
    assert padding.any()
    noise = {name: np.where(padding, 3, getattr(rows.histories, name)) for name in PARTS[1:]}
    before = logits_of(model, rows)
    np.testing.assert_allclose(logits_of(model, with_histories(rows, **noise)), before, atol=1e-5)
    wider = {name: np.pad(getattr(rows.histories, name), ((0, 0), (9, 0))) for name in PARTS}
    np.testing.assert_allclose(logits_of(model, with_histories(rows, **wider)), before, atol=1e-5)


@every_shape
@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_history_changes_the_score(shape: RankerShape, part: str) -> None:
    model, rows = make_model(shape), make_rows()
    changed = getattr(rows.histories, part).copy()
    changed[1, -2] = changed[1, -2] % 5 + 1
    assert changed[1, -2] != getattr(rows.histories, part)[1, -2]
    moved = np.abs(logits_of(model, with_histories(rows, **{part: changed})) - logits_of(model, rows)).max(axis=1)
    assert (moved[rows.request == 1] > 1e-6).all()
    assert (moved[rows.request != 1] < 1e-6).all()


@every_shape
def test_actions_under_the_window_mask_change_nothing_in_training(shape: RankerShape) -> None:
    import torch

    model, rows = make_model(shape).train(), make_rows()
    youngest = torch.full((len(rows.histories),), 12)
    hidden = rows.histories.gaps < 12
    assert (hidden & (rows.histories.items > 0)).any()
    others = np.where(hidden & (rows.histories.items > 0), rows.histories.items % N_ITEMS + 1, rows.histories.items)
    changed = with_histories(rows, items=others, actions=np.where(hidden, 2, rows.histories.actions))
    np.testing.assert_allclose(logits_of(model, changed, youngest), logits_of(model, rows, youngest), atol=1e-5)
    assert np.abs(logits_of(model, changed) - logits_of(model, rows)).max() > 1e-3


def test_window_mask_hides_only_what_is_newer_for_certain() -> None:
    import torch

    # A draw of one hour: 3,600 s lie in bucket 12, which goes from 2,048 s; an action there may be older than the draw.
    assert gap_buckets(np.array([3_600_000, 2_048_000, 2_047_000])).tolist() == [12, 12, 11]
    model, rows = make_model(), make_rows()
    youngest = torch.full((len(rows.histories),), 12)
    for gap, seen in ((12, True), (11, False)):
        gaps = np.where(rows.histories.items > 0, gap, 0)
        one, other = (
            logits_of(model, with_histories(rows, gaps=gaps, actions=np.full_like(gaps, action)), youngest)
            for action in (1, 2)
        )
        assert (np.abs(one - other).max() > 1e-3) == seen


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_scores_depend_on_the_candidate_by_way_of_the_history(shape: RankerShape) -> None:
    import torch

    from training.ranker.resident_rows import ResidentRows

    model, rows = make_model(shape), make_rows()
    assert model.sequence is not None
    with torch.no_grad():
        encoded = model.encode(*ResidentRows(rows, "cpu").take(np.arange(len(rows))).histories)
        request = torch.tensor([1, 1, 0, 0])
        seen = model.sequence(*encoded, request, model.items(torch.tensor([3, 4, 3, 4])))
    assert (seen[0] - seen[1]).abs().max() > 1e-3


@every_shape
def test_no_history_and_an_unknown_item_give_numbers_in_training_too(shape: RankerShape) -> None:
    model, rows = make_model(shape), make_rows()
    nothing = with_histories(
        rows, **{name: np.zeros((20, 1), dtype=np.int64) for name in ("items", "actions", "gaps", "dwells")}
    )
    unknown = dataclasses.replace(nothing, candidate=np.zeros(len(rows), dtype=np.int64))
    assert np.isfinite(logits_of(model.train(), unknown)).all()


def test_missing_number_counts_as_the_mean() -> None:
    rows = make_rows()
    model = make_model(rows=rows)
    mean = np.broadcast_to(np.nanmean(rows.numbers, axis=0), rows.numbers.shape).astype(np.float32)
    filled = np.where(np.isnan(rows.numbers), mean, rows.numbers)
    assert (filled != rows.numbers).any()
    np.testing.assert_allclose(
        logits_of(model, dataclasses.replace(rows, numbers=filled)), logits_of(model, rows), atol=1e-5
    )


def test_code_that_training_did_not_have_counts_as_unknown() -> None:
    model, rows = make_model(), make_rows()
    new, unknown = (
        dataclasses.replace(
            rows, user_codes=np.full_like(rows.user_codes, code), context_codes=np.full_like(rows.context_codes, code)
        )
        for code in (99, 0)
    )
    np.testing.assert_array_equal(logits_of(model, new), logits_of(model, unknown))


def test_scale_of_numbers_and_base_rates_are_those_of_the_rows() -> None:
    from training.ranker.model import new_ranker

    rows = make_rows()
    numbers = np.tile(np.array([[1.0, 5.0, np.nan, np.inf]], dtype=np.float32), (60, 1))
    numbers[:30, 0] = 3.0
    labels = np.full((60, 3), np.nan, dtype=np.float32)
    labels[:4, 0] = [1, 0, 0, 0]
    model = new_ranker(dataclasses.replace(rows, numbers=numbers, labels=labels), make_items(), SMALL)
    assert model.number_mean.tolist() == [2.0, 5.0, 0.0, 0.0]
    assert model.number_scale.tolist() == [1.0, 1.0, 1.0, 1.0]
    # One of four, with half a row of either outcome more: (1 + 0.5) / (4 + 1); a head nobody knows starts at even odds.
    assert model.heads.bias.sigmoid().tolist() == pytest.approx([1.5 / 5, 0.5, 0.5])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"use_sequence": False}, id="without_sequence"),
        pytest.param({"use_crosses": False}, id="without_crosses"),
        pytest.param({"use_transformer": False}, id="without_transformer"),
    ],
)
def test_a_part_that_is_off_is_not_there(changes: dict[str, Any]) -> None:
    model = make_model(dataclasses.replace(SMALL, **changes))
    assert sum(parameter.numel() for parameter in model.parameters()) < sum(
        parameter.numel() for parameter in make_model().parameters()
    )
    assert np.isfinite(logits_of(model, make_rows())).all()


def test_rows_without_codes_or_numbers_are_scored() -> None:
    from training.ranker.model import new_ranker

    rows = make_rows()
    bare = dataclasses.replace(
        rows, user_codes=rows.user_codes[:, :0], context_codes=rows.context_codes[:, :0], numbers=rows.numbers[:, :0]
    )
    items = dataclasses.replace(make_items(vectors=False), codes=np.zeros((N_ITEMS + 1, 0), dtype=np.int64))
    assert np.isfinite(logits_of(new_ranker(bare, items, SMALL).eval(), bare)).all()


def test_pretrained_vectors_are_read_and_not_changed() -> None:
    model = make_model()
    assert not model.items.vectors.requires_grad
    assert model.items.vectors[1:].square().mean().item() == pytest.approx(1.0, rel=1e-5)
    before = logits_of(model, make_rows())
    model.items.vectors.neg_()
    assert np.abs(logits_of(model, make_rows()) - before).max() > 1e-3
