"""Bundles of several origins: each judged on the days after it, the newest held beside the others on the same rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.retraining import WARM, Days, Origin, ahead, decay, main, metrics, report
from recloop.clock import MS_PER_DAY
from recloop.errors import ConfigurationError

FIRST = date(2024, 3, 1)
FIRST_MS = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp() * 1_000)
N_USERS = 8


@pytest.fixture
def days(tmp_path: Path) -> Days:
    (tmp_path / "events.jsonl").touch()
    return Days(f"events:{tmp_path}")


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def columns(n_days: range, chances: Any) -> dict[str, np.ndarray]:
    """Return two rows of each user on each day, a click and none; `chances` are those of the two."""
    times = [FIRST_MS + n * MS_PER_DAY + user for n in n_days for user in range(N_USERS) for _ in range(2)]
    n = len(times)
    return {
        "user_id": np.array([f"u{place // 2 % N_USERS}" for place in range(n)], dtype=object),
        "item_id": np.array([f"i{time % 7}{place % 2}" for place, time in enumerate(times)], dtype=object),
        "time_ms": np.array(times),
        "click": np.tile([1, 0], n // 2),
        "click_chance": np.tile(np.asarray(chances, dtype=float), n // 2),
        "hide": np.zeros(n, dtype=int),
        "hide_chance": np.full(n, 0.1),
    }


def origin(until: int, last: int, chances: Any) -> Origin:
    return Origin(
        day(until), {"seconds": until}, {"n_requests": 10 * until}, columns(range(until + 1, last + 1), chances)
    )


def test_rows_of_a_span_are_those_from_its_start_until_before_its_end() -> None:
    rows = origin(0, 3, [0.6, 0.4]).after(FIRST_MS + 2 * MS_PER_DAY, FIRST_MS + 3 * MS_PER_DAY)
    assert {int(time) // MS_PER_DAY for time in rows["time_ms"]} == {FIRST_MS // MS_PER_DAY + 2}
    assert {len(values) for values in rows.values()} == {2 * N_USERS}


def test_days_begin_where_the_calendar_of_the_source_says(days: Days) -> None:
    assert days.start_ms(day(2)) == FIRST_MS + 2 * MS_PER_DAY


def test_metrics_are_per_head_and_none_where_not_defined() -> None:
    found = metrics(columns(range(1, 2), [0.8, 0.2]))
    assert found["rows"] == 2 * N_USERS
    assert found["click"] == {"auc": 1.0, "gauc": 1.0, "log_loss": round(-np.log(0.8), 5)}
    assert (found["hide"]["auc"], found["hide"]["gauc"]) == (None, None)
    assert found["hide"]["log_loss"] == round(-np.log(0.9), 5)
    assert "like" not in found


def test_curve_has_every_day_after_the_origin_up_to_the_last(days: Days) -> None:
    found = decay(origin(1, 4, [0.8, 0.2]), days, day(3))
    assert list(found) == [str(day(2)), str(day(3))]
    assert {own["rows"] for own in found.values()} == {2 * N_USERS}


def test_lead_is_paired_and_of_the_heads_that_judge() -> None:
    right, wrong = (columns(range(1, 3), chances) for chances in ([0.8, 0.2], [0.2, 0.8]))
    found = ahead(right, wrong)
    # From all pairs wrong to all right: hides are not asked.
    assert found == {"click_auc": [1.0, 1.0, 1.0], "click_gauc": [1.0, 1.0, 1.0]}
    assert ahead(wrong, right) == {"click_auc": [-1.0, -1.0, -1.0], "click_gauc": [-1.0, -1.0, -1.0]}


@pytest.mark.parametrize("name", ["user_id", "item_id", "time_ms"])
def test_other_rows_cannot_be_held_beside_each_other(name: str) -> None:
    one, other = (columns(range(1, 2), [0.8, 0.2]) for _ in range(2))
    other[name] = other[name][::-1]
    with pytest.raises(ConfigurationError, match="judged on different rows"):
        ahead(one, other)


def test_newest_is_held_beside_all_others_on_the_days_after_it(days: Days) -> None:
    old, new = origin(0, 4, [0.4, 0.6]), origin(2, 4, [0.8, 0.2])
    warm = origin(2, 4, [0.7, 0.3])
    third = old.scores["time_ms"] // MS_PER_DAY == FIRST_MS // MS_PER_DAY + 3
    old.scores["click_chance"][third] = 1 - old.scores["click_chance"][third]
    found = report([old, new], warm, days, day(4))
    assert found["trainings"] == {str(day(0)): {"seconds": 0}, str(day(2)): {"seconds": 2}, WARM: {"seconds": 2}}
    assert found["slates_of_the_last_days"] == {str(day(2)): {"n_requests": 20}, WARM: {"n_requests": 20}}
    assert {name: list(own) for name, own in found["by_day"].items()} == {
        str(day(0)): [str(day(n)) for n in (1, 2, 3, 4)],
        str(day(2)): [str(day(n)) for n in (3, 4)],
        WARM: [str(day(n)) for n in (3, 4)],
    }
    lead = found["newest_less_other_on_2_days"]
    assert {name: own["click_auc"][0] for name, own in lead.items()} == {
        # On the third day it was right, and wrong on the fourth: of four kinds of pairs one is won and two are ties.
        str(day(0)): 1 - (1 + 1 / 2 + 1 / 2 + 0) / 4,
        WARM: 0.0,
    }
    first = found["first_2_days_after_each_origin"]
    assert {name: own["rows"] for name, own in first.items()} == {str(day(0)): 4 * N_USERS, str(day(2)): 4 * N_USERS}
    assert first[str(day(0))]["click"]["auc"] == 0.0


@pytest.mark.parametrize(
    ("until", "to", "message"),
    [
        (["2024-03-01"], "2024-03-05", "--until has 1 different days and --to is 2024-03-05; expected two at least"),
        (["2024-03-01", "2024-03-01"], "2024-03-05", "--until has 1 different days"),
        (["2024-03-03", "2024-03-01"], "2024-03-03", "and a day after the last of them"),
    ],
)
def test_origins_that_leave_nothing_to_compare_are_refused(
    until: list[str], to: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = f"events:{tmp_path / 'none'}"
    assert main(["--data", nowhere, "--until", *until, "--to", to, "--out", str(tmp_path / "r.json")]) == 1
    assert message in capsys.readouterr().err
