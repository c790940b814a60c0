"""Two sets of one source: in their order, and the later one judges only its own days."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from recloop.clock import to_ms
from recloop.errors import TrainingError
from recloop.settings import Settings
from tests.training.shown_log import DAY, FIRST_DAY, shown_log, write_log
from training.judging.spans import read_sets


def day(n: int) -> date:
    return (FIRST_DAY + timedelta(days=n)).date()


@pytest.mark.slow
def test_what_judges_lies_after_what_is_learned_from(tmp_path: Path) -> None:
    data = f"events:{write_log(tmp_path / 'log', shown_log())}"
    learned, later = read_sets(data, until=day(1), start=day(2), end=day(2), settings=Settings())
    assert learned.split.end_ms == later.split.holdout_ms == to_ms(FIRST_DAY + 2 * DAY)
    assert learned.interactions.times_ms.max() < learned.split.end_ms
    assert later.split.end_ms == to_ms(FIRST_DAY + 3 * DAY)


@pytest.mark.parametrize(("until", "start", "end"), [(2, 2, 3), (1, 3, 2)])
def test_days_in_another_order_are_refused_with_all_three(tmp_path: Path, until: int, start: int, end: int) -> None:
    data = f"events:{write_log(tmp_path / 'log', shown_log())}"
    with pytest.raises(TrainingError, match=r"ends at .*Z, what judges begins at .*Z and ends at .*Z; expected"):
        read_sets(data, until=day(until), start=day(start), end=day(end), settings=Settings())
