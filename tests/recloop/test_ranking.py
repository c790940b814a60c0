"""The ranking matrix: what each column means, and what missing values become."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recloop.clock import MS_PER_DAY
from recloop.ranking import (
    RANKING_FEATURES,
    UNKNOWN,
    USER_COLUMNS,
    Context,
    Items,
    UserState,
    Vocabularies,
    ranking_matrix,
)
from recloop.sequences import RecentActions
from tests.recloop.conftest import AS_OF_MS, N_ITEMS, tiny_items

VOCABULARIES = Vocabularies({"surface": {"home": 4}})


@pytest.fixture
def items() -> Items:
    return tiny_items()


def matrix(
    user: UserState, items: Items, *, time_ms: int = AS_OF_MS, surface: str | None = None
) -> dict[str, np.ndarray]:
    rows = np.arange(N_ITEMS)
    zeros = np.zeros(N_ITEMS)
    values = ranking_matrix(
        user, items, rows, context=Context(time_ms, surface), cf_scores=zeros, sequence_scores=zeros,
        vocabularies=VOCABULARIES,
    )  # fmt: skip
    assert values.shape == (N_ITEMS, len(RANKING_FEATURES))
    assert values.dtype == np.float32
    return dict(zip(RANKING_FEATURES, values.T, strict=True))


def test_unknown_user_gets_defaults_and_unknown_codes(items: Items) -> None:
    columns = matrix(UserState("nobody"), items)
    assert columns["user_touches"][0] == 0  # its default
    assert np.isnan(columns["user_days_since_last"]).all()
    assert set(columns["segment_code"]) == {UNKNOWN}


def test_touches_halve_after_a_half_life(items: Items) -> None:
    user = UserState("u", numbers={"user_touches": 8.0}, as_of_ms=AS_OF_MS)
    assert matrix(user, items, time_ms=AS_OF_MS + 30 * MS_PER_DAY)["user_touches"][0] == pytest.approx(8.0 / 2)


def test_what_is_no_sum_does_not_fade(items: Items) -> None:
    early, late = (matrix(UserState("u"), items, time_ms=AS_OF_MS + days * MS_PER_DAY) for days in (0, 30))
    assert np.array_equal(early["item_click_rate"], late["item_click_rate"])
    assert not np.array_equal(early["item_touches"], late["item_touches"])


def test_no_rate_of_the_user_moves_from_day_to_day() -> None:
    assert not [name for name in RANKING_FEATURES if name.startswith("user_") and name.endswith("_rate")]


def test_nothing_of_the_user_follows_the_outcome_of_the_last_item(items: Items) -> None:
    base = RecentActions(("i0", "i2"), ("view", "view"), (1, AS_OF_MS - 2), (0, 0))
    seen = matrix(UserState("u", recent=base), items)
    assert seen["user_items_1h"][0] == 1
    for action in ("click", "save", "hide"):
        more = RecentActions((*base.item_ids, "i2"), (*base.actions, action), (*base.times_ms, AS_OF_MS - 2), (0,) * 3)
        after = matrix(UserState("u", recent=more), items)
        assert [after[name][0] for name in USER_COLUMNS] == pytest.approx([seen[name][0] for name in USER_COLUMNS])


def test_affinity_is_the_mean_over_the_items_categories(items: Items) -> None:
    user = UserState("u", category_weights={"odd": 1.0, "rare": -0.5})
    affinity = matrix(user, items)["category_affinity"]
    assert affinity[0] == 0.0
    assert affinity[1] == pytest.approx((1.0 - 0.5) / 2)


def test_recent_crosses_count_the_newest_actions(items: Items) -> None:
    recent = RecentActions(("i0", "i2", "gone"), ("save",) * 3, (1, 2, 3), (0,) * 3)
    columns = matrix(UserState("u", recent=recent), items)
    assert columns["category_recent"][4] == 2  # two recent items are "even"
    assert columns["author_recent"][3] == 1  # i0 and i3 share author a0


def test_known_surface_gets_its_code_and_a_new_one_is_unknown(items: Items) -> None:
    assert matrix(UserState("u"), items, surface="home")["surface_code"][0] == 4
    assert matrix(UserState("u"), items, surface="new")["surface_code"][0] == UNKNOWN


def test_missing_item_numbers_take_their_defaults(items: Items) -> None:
    numbers = items.numbers.copy()
    numbers[3] = np.nan
    columns = matrix(UserState("u"), dataclasses.replace(items, numbers=numbers))
    assert columns["item_touches"][3] == 0.0
    assert columns["item_like_rate"][3] == pytest.approx(0.1)
    assert np.isnan(columns["item_duration_s"][3])


def test_item_column_is_looked_up_by_its_name(items: Items) -> None:
    assert set(items.column("duration_ms")) == {60_000}
    assert set(items.column("published_ms")) == {20 * MS_PER_DAY}
    assert items.fixed_columns.tolist() == [[60_000, 20 * MS_PER_DAY]] * N_ITEMS
    columns = matrix(UserState("u"), items)
    assert columns["item_days_since_first"][0] == 100 - 10
    assert columns["item_duration_s"][0] == 60
    assert columns["item_age_days"][0] == 100 - 20
    with pytest.raises(ValueError, match="not in tuple"):
        items.column("duration")


def test_last_interaction_is_the_newer_of_sequence_and_batch_row() -> None:
    recent = RecentActions(("i0",), ("click",), (500,), (0,))
    assert UserState("u", numbers={"user_last_ms": 900.0}, recent=recent).last_ms == 900
    assert UserState("u", recent=recent).last_ms == 500
    assert UserState("u").last_ms is None
