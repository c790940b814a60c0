"""What an online row means to the recommender, at every age it can have."""

from __future__ import annotations

from typing import Any

import pytest

from recloop.clock import MS_PER_DAY, MS_PER_HOUR
from recloop.features import USER_DAILY, USER_PROFILE, USER_RECENT
from serving.api import Reason
from serving.user_state import KnownUser, OnlineRow, known_user
from tests.serving.bundles import NOW_MS

DAILY = {
    "user_touches": 4.0,
    "user_click_rate": None,
    "user_last_ms": NOW_MS - 3 * MS_PER_DAY,
    "user_categories": ["drama", "crime"],
    "user_category_weights": [1.0, -0.5],
    "user_seen_items": ["i9"],
}


def recent(*ages_ms: int) -> dict[str, Any]:
    n = len(ages_ms)
    return {
        "recent_items": [f"i{place}" for place in range(n)],
        "recent_actions": ["save"] * n,
        "recent_times_ms": [NOW_MS - age for age in ages_ms],
        "recent_dwell_ms": [0] * n,
    }


def read(daily_age_ms: int | None = None, recent_ages_ms: tuple[int, ...] = ()) -> KnownUser:
    values: dict[str, Any] = {}
    times: dict[str, int] = {}
    if daily_age_ms is not None:
        values[USER_DAILY.name], times[USER_DAILY.name] = DAILY, NOW_MS - daily_age_ms
    if recent_ages_ms:
        values[USER_RECENT.name] = recent(*recent_ages_ms)
        times[USER_RECENT.name] = NOW_MS - recent_ages_ms[-1]
    return known_user("u", OnlineRow(values, times), now_ms=NOW_MS, daily_max_age_hours=48)


def test_unknown_user_lacks_both_rows() -> None:
    known = read()
    assert known.lacks == (Reason.USER_RECENT_MISSING, Reason.USER_DAILY_MISSING)
    assert (known.as_of_ms, known.has_sequence, known.state.seen_items) == (None, False, frozenset())


def test_fresh_rows_make_a_whole_state() -> None:
    known = read(daily_age_ms=MS_PER_HOUR, recent_ages_ms=(2_000, 1_000))
    assert known.lacks == ()
    assert known.state.numbers == {"user_touches": 4.0, "user_last_ms": float(NOW_MS - 3 * MS_PER_DAY)}
    assert known.state.category_weights == {"drama": 1.0, "crime": -0.5}
    assert known.state.as_of_ms == NOW_MS - MS_PER_HOUR
    assert known.state.seen_items == {"i9", "i0", "i1"}
    assert known.state.recent.item_ids == ("i0", "i1")
    assert known.as_of_ms == NOW_MS - 1_000


def test_old_batch_row_of_a_user_who_did_nothing_since_is_not_stale() -> None:
    known = read(daily_age_ms=20 * MS_PER_DAY, recent_ages_ms=(21 * MS_PER_DAY,))
    assert known.lacks == ()
    assert known.state.numbers


@pytest.mark.parametrize(
    ("age_ms", "stale"),
    [
        # The row sums up what is older than 5 days. An interaction counts as due in it after 48 hours.
        pytest.param(48 * MS_PER_HOUR + 1, True, id="due_and_not_in_the_row"),
        pytest.param(48 * MS_PER_HOUR, False, id="not_due_yet"),
        pytest.param(5 * MS_PER_DAY, True, id="at_the_rows_time_which_it_does_not_hold"),
        pytest.param(5 * MS_PER_DAY + 1, False, id="in_the_row"),
    ],
)
def test_batch_row_is_stale_when_an_interaction_was_due_in_it(age_ms: int, stale: bool) -> None:
    known = read(daily_age_ms=5 * MS_PER_DAY, recent_ages_ms=(age_ms,))
    assert known.lacks == ((Reason.USER_DAILY_STALE,) if stale else ())
    assert bool(known.state.numbers) is not stale
    assert "i9" in known.state.seen_items, "what was seen stays seen"


@pytest.mark.parametrize(("age_ms", "stale"), [(30 * MS_PER_DAY - 1, False), (30 * MS_PER_DAY, True)])
def test_sequence_counts_as_missing_after_its_max_age(age_ms: int, stale: bool) -> None:
    known = read(daily_age_ms=0, recent_ages_ms=(age_ms,))
    assert known.lacks == ((Reason.USER_RECENT_STALE,) if stale else ())
    assert known.has_sequence is not stale
    assert "i0" in known.state.seen_items, "what was hidden stays hidden"
    assert known.as_of_ms == max(NOW_MS - age_ms, DAILY["user_last_ms"])


def test_profile_alone_gives_the_segment() -> None:
    row = OnlineRow({USER_PROFILE.name: {"segment": "young"}}, {USER_PROFILE.name: 1})
    known = known_user("u", row, now_ms=NOW_MS, daily_max_age_hours=48)
    assert known.state.segment == "young"
    assert known.lacks == (Reason.USER_RECENT_MISSING, Reason.USER_DAILY_MISSING)


@pytest.mark.parametrize(
    ("texts", "attributes"),
    [
        pytest.param(None, {}, id="none_stored"),
        pytest.param([], {}, id="none"),
        pytest.param(["a=1", "größe=süß", "x=y=z"], {"a": "1", "größe": "süß", "x": "y=z"}, id="several"),
    ],
)
def test_attributes_of_the_profile_are_a_mapping_again(texts: list[str] | None, attributes: dict[str, str]) -> None:
    row = OnlineRow({USER_PROFILE.name: {"user_attributes": texts}}, {USER_PROFILE.name: 1})
    assert known_user("u", row, now_ms=NOW_MS, daily_max_age_hours=48).state.attributes == attributes
    assert read(daily_age_ms=0).state.attributes == {}
