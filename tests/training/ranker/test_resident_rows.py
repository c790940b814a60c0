"""Mini-batches of ranker rows."""

from __future__ import annotations

import numpy as np

from tests.training.ranker_maker import make_rows, with_histories


def test_batch_is_what_the_rows_alone_would_be() -> None:
    from training.ranker.resident_rows import ResidentRows

    rows, chosen = make_rows(), np.array([11, 3, 3, 8])
    batch, alone = ResidentRows(rows, "cpu").take(chosen), rows.take(chosen)
    for found, expected in zip(batch.histories, alone.histories.parts, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    request, *others = batch.rows
    np.testing.assert_array_equal(request.numpy(), alone.request)
    for found, expected in zip((batch.users, *others, batch.labels), alone.per_row, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_requests_without_an_action_have_one_place_of_padding() -> None:
    from training.ranker.resident_rows import ResidentRows

    rows = make_rows()
    blank = with_histories(
        rows, **{name: np.zeros_like(rows.histories.items) for name in ("items", "actions", "gaps", "dwells")}
    )
    batch = ResidentRows(blank, "cpu").take(np.array([0, 1]))
    assert {part.shape[1] for part in batch.histories} == {1}
    nothing = ResidentRows(blank, "cpu").take(np.empty(0, dtype=np.int64))
    assert [len(part) for part in (*nothing.histories, *nothing.rows)] == [0] * (4 + len(nothing.rows))
