"""Rows come out of Redis as they went in; a store that is gone or hangs costs a request little."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from recloop.errors import ComponentUnavailable
from recloop.features import USER_DAILY, USER_PROFILE, USER_RECENT
from recloop.settings import Port, Settings
from serving.feature_reader import FeatureReader
from serving.user_state import OnlineRow
from tests.serving.online_rows import open_store, write_daily, write_profile, write_recent
from tests.serving.servers import PASSWORD, Forwarder, OwnRedis, own_redis, wait_until

pytestmark = pytest.mark.stack
AT = datetime(2026, 6, 1, 11, 59, 58, tzinfo=UTC)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis(tmp_path) as server:
        yield server


@pytest.fixture
def settings(feast_stack: Settings, redis: OwnRedis) -> Settings:
    return feast_stack.model_copy(update={"redis_address": redis.address, "redis_password": SecretStr(PASSWORD)})


@pytest.fixture
def store(settings: Settings) -> Any:
    return open_store(settings)


def opened(settings: Settings) -> FeatureReader:
    reader = FeatureReader(settings)
    reader.start()
    wait_until(lambda: reader.is_open, 60)
    return reader


@pytest.fixture
def reader(settings: Settings, store: Any) -> Iterator[FeatureReader]:
    reader = opened(settings)
    yield reader
    reader.stop()


def read(reader: FeatureReader, user_id: str, seconds: float = 5) -> OnlineRow:
    return asyncio.run(reader.read(user_id, timeout_seconds=seconds))


def test_rows_come_out_as_they_went_in(reader: FeatureReader, store: Any) -> None:
    write_recent(store, "u", ["i1", "i2"], AT)
    write_daily(store, "u", AT - timedelta(days=1), seen=["i9"])
    write_profile(store, "u", AT - timedelta(days=9), "young")
    row = read(reader, "u")
    milliseconds = {name: datetime.fromtimestamp(at / 1000, UTC) for name, at in row.times_ms.items()}
    assert milliseconds == {
        USER_RECENT.name: AT, USER_DAILY.name: AT - timedelta(days=1), USER_PROFILE.name: AT - timedelta(days=9),
    }  # fmt: skip
    assert list(row.of(USER_RECENT)["recent_items"]) == ["i1", "i2"]
    assert list(row.of(USER_DAILY)["user_seen_items"]) == ["i9"]
    assert row.of(USER_PROFILE)["segment"] == "young"
    assert row.of(USER_PROFILE)["gender"] is None
    assert list(row.of(USER_PROFILE)["user_attributes"]) == ["a=1", "süß=ä=b"]


def test_unknown_user_and_missing_views_are_empty(reader: FeatureReader, store: Any) -> None:
    write_profile(store, "only-a-profile", AT, "young")
    assert read(reader, "nobody") == OnlineRow()
    assert set(read(reader, "only-a-profile").times_ms) == {USER_PROFILE.name}


def test_redis_that_is_gone_costs_nothing_after_a_few_tries_and_is_found_again(
    reader: FeatureReader, redis: OwnRedis, store: Any
) -> None:
    write_profile(store, "u", AT, "young")
    redis.stop()
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(ComponentUnavailable):
            read(reader, "u")
    assert time.monotonic() - began < 1, "a refused connection is known at once"
    began = time.monotonic()
    with pytest.raises(ComponentUnavailable):
        read(reader, "u")
    assert time.monotonic() - began < 0.05
    redis.start()

    def is_back() -> bool:
        try:
            return read(reader, "u").of(USER_PROFILE)["segment"] == "young"
        except ComponentUnavailable:
            return False

    assert wait_until(is_back) < 5


def test_redis_that_hangs_costs_no_more_than_the_limit(reader: FeatureReader, redis: OwnRedis) -> None:
    read(reader, "u")
    redis.send(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(ComponentUnavailable):
        read(reader, "u", seconds=0.1)
    assert time.monotonic() - began < 0.5
    redis.send(signal.SIGCONT)
    assert read(reader, "u") == OnlineRow()


def test_feature_registry_that_goes_away_stops_nothing(settings: Settings, store: Any) -> None:
    write_profile(store, "u", AT, "young")
    forwarder = Forwarder(settings.host, settings.port(Port.POSTGRES))
    reader = opened(settings.model_copy(update={"postgres_address": f"127.0.0.1:{forwarder.port}"}))
    forwarder.close()
    reader._opening.registry.refresh()  # what Feast's own thread does each minute
    assert read(reader, "u").of(USER_PROFILE)["segment"] == "young"
    reader.stop()


def test_reader_opens_when_the_registry_comes_up_later(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.feature_reader.OPEN_AGAIN_SECONDS", 0.1)
    forwarder = Forwarder(settings.host, settings.port(Port.POSTGRES))
    port = forwarder.port
    forwarder.close()
    reader = FeatureReader(settings.model_copy(update={"postgres_address": f"127.0.0.1:{port}"}))
    reader.start()
    with pytest.raises(ComponentUnavailable):
        read(reader, "u")
    time.sleep(1)
    assert not reader.is_open
    late = Forwarder(settings.host, settings.port(Port.POSTGRES), port)
    wait_until(lambda: reader.is_open, 60)
    assert read(reader, "u") == OnlineRow()
    reader.stop()
    late.close()


def test_stop_waits_for_an_opening_under_way(settings: Settings, store: Any) -> None:
    reader = FeatureReader(settings)
    reader.start()
    reader.stop()
    assert not reader._opener.is_alive()
