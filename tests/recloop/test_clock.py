from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from recloop.clock import ManualClock, SystemClock, day_start, format_time, from_ms, parse_time, to_ms


def test_text_order_is_time_order() -> None:
    moments = [datetime(2022, 5, 1, 9, 59, 59, 999_000, tzinfo=UTC), datetime(2022, 5, 1, 10, tzinfo=UTC)]
    assert sorted(map(format_time, reversed(moments))) == [format_time(moment) for moment in moments]


def test_naive_text_is_refused() -> None:
    with pytest.raises(ValueError, match="no UTC offset"):
        parse_time("2022-05-01T10:00:00")


def test_milliseconds_round_trip() -> None:
    assert to_ms(from_ms(1_650_615_878_629)) == 1_650_615_878_629


def test_milliseconds_round_down_below_the_epoch_too() -> None:
    assert to_ms(datetime(1969, 12, 31, 23, 59, 59, 999_500, tzinfo=UTC)) == -1


def test_day_start_is_midnight_utc() -> None:
    assert day_start(date(2022, 5, 1)) == datetime(2022, 5, 1, tzinfo=UTC)


def test_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock()
    before = clock.now()
    clock.advance(timedelta(hours=1))
    assert clock.now() - before == timedelta(hours=1)


def test_system_clock_is_aware() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
