"""Mini-batches and their pieces: whole users, every row once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.training.ranker_maker import make_rows
from training.ranker.batches import pieces, user_batches
from training.ranker.rows import RankerRows


def batches_of(rows: RankerRows, n: int, seed: int) -> list[Any]:
    return user_batches(rows.users, n, np.random.default_rng(seed))


def test_mini_batches_hold_whole_users_and_every_row_once() -> None:
    rows = make_rows(500, n_requests=80)
    batches = batches_of(rows, 60, 1)
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert len(batches) > 4
    assert len({int(user) for batch in batches for user in set(rows.users[batch])}) == sum(
        len(set(rows.users[batch])) for batch in batches
    )
    assert [len(batch) for batch in batches_of(rows, 60, 2)] != [len(batch) for batch in batches]


def test_pieces_hold_whole_users_with_like_histories_and_every_row_once() -> None:
    rows = make_rows(200, n_requests=60)
    batch = user_batches(rows.users, 120, np.random.default_rng(0))[0]
    parts = pieces(rows, batch, 12)
    assert len(parts) > 5
    assert sorted(np.concatenate(parts)) == sorted(batch)
    users = [set(rows.users[part].tolist()) for part in parts]
    assert sum(map(len, users)) == len(set.union(*users))
    longest = [int((rows.histories.items[rows.request[part]] > 0).sum(axis=1).max()) for part in parts]
    assert longest == sorted(longest)


def test_user_with_very_many_rows_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ranker.batches.MOST_ROWS", 10)
    batches = user_batches(np.r_[np.zeros(95, dtype=np.int64), 1, 1], 10)
    assert [len(batch) for batch in batches] == [10] * 9 + [7]
