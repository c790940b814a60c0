"""The level of a user that follows each outcome, as `benchmarks.user_levels` measures it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.user_levels import PRIOR_INFORMATION, SHARES, levels, measure
from recloop.errors import ConfigurationError


def test_level_knows_the_users_own_rows_strictly_before_it() -> None:
    labels, chances = np.array([1, 0, 1, 1], dtype=np.int8), np.full(4, 0.5)
    users, times_ms = np.array([0, 0, 1, 0]), np.array([1, 2, 2, 2])
    # After one positive row foretold as .5: a surprise of .5 over its information .5 * .5 and that of the prior.
    after_one = 0.5 / (0.25 + PRIOR_INFORMATION)
    assert levels(labels, chances, users, times_ms) == pytest.approx([0, after_one, 0, after_one])


def test_each_head_of_a_scores_file_is_measured_at_every_share(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"user_id": ["a", "a", "b"], "time_ms": [1, 2, 3], "click": [1, 0, 0], "click_chance": [0.6, 0.5, 0.4]}
    pq.write_table(pa.table(columns), tmp_path / "scores.parquet")
    found = measure(tmp_path / "scores.parquet")
    assert list(found) == ["click"]
    assert [own["share"] for own in found["click"]] == list(SHARES)
    by_share = {own["share"]: own for own in found["click"]}
    assert by_share[0.0] == {"share": 0.0, "auc": 1.0, "gauc": 1.0}


def test_missing_scores_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.parquet is no file"):
        measure(tmp_path / "none.parquet")
