from __future__ import annotations

from pathlib import Path

import pytest

from demo.prepared import PreparedData, prepare
from recloop.errors import ConfigurationError, SourceError
from recloop.settings import Settings
from tests.recloop.sources.conftest import write_kuairand


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECLOOP_VAR_DIR", str(tmp_path / "var"))
    (tmp_path / "var").mkdir()
    return Settings()


def test_prepared_data_is_found_again(settings: Settings, tmp_path: Path) -> None:
    source = f"kuairand:{write_kuairand(tmp_path)}"
    first = prepare(settings, source, ["--live", "2"])
    assert prepare(settings, source, ["--live", "2"]).facts == first.facts
    assert {event["item_id"] for event in first.live_events()} == {"1", "2"}
    assert first.first < first.live_first
    assert set(first.items()) == {"1", "2"}


def test_ingestion_is_remembered(tmp_path: Path) -> None:
    data = PreparedData(tmp_path, {})
    assert not data.is_ingested
    data.mark_ingested()
    assert data.is_ingested


def test_other_data_in_the_same_stack_is_refused(settings: Settings, tmp_path: Path) -> None:
    source = f"kuairand:{write_kuairand(tmp_path)}"
    prepare(settings, source, ["--live", "2"])
    with pytest.raises(ConfigurationError, match="make reset"):
        prepare(settings, "movielens", [])


def test_source_that_cannot_be_read_is_said(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no log_"):
        prepare(settings, f"kuairand:{tmp_path}", [])
