"""Bundles to serve, and an app of real parts whose servers are down unless a test starts them."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from recloop.clock import ManualClock
from recloop.commands import module
from recloop.settings import PROJECT_DIR, Environment, Settings
from serving.app import Parts, build_parts, create_app
from serving.bundle_store import BundleStore
from serving.event_log import EventLog
from serving.impressions import ImpressionLog
from serving.registry import ModelVersion
from tests.conftest import free_ports, run_module
from tests.serving.bundles import N_DIMENSIONS, N_ITEMS, NOW, write_bundle

TOKEN = "a-token-for-tests"


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX user encoder; the core environment has the package that writes one."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.onnx"
    options = [str(N_ITEMS), str(N_DIMENSIONS), "1", str(path)]
    subprocess.run(module(Environment.CORE, "tests.serving.encoder_graph", options), cwd=PROJECT_DIR, check=True)
    return path


@pytest.fixture(scope="session")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX ranker, exported as training does it; that needs the core environment."""
    path = tmp_path_factory.mktemp("ranker") / "ranker.onnx"
    options = [str(N_ITEMS), "1", str(path)]
    subprocess.run(module(Environment.CORE, "tests.serving.ranker_graph", options), cwd=PROJECT_DIR, check=True)
    return path


@pytest.fixture(scope="session")
def sealed_bundles(tmp_path_factory: pytest.TempPathFactory, encoder: Path, ranker: Path) -> tuple[Path, Path]:
    """Two different bundles, the second with a ranker; copy them before changing them."""
    folder = tmp_path_factory.mktemp("bundles")
    return (
        write_bundle(folder / "one", encoder, name="one", seed=1),
        write_bundle(folder / "two", encoder, name="two", seed=2, ranker=ranker),
    )


@pytest.fixture
def bundle(sealed_bundles: tuple[Path, Path], tmp_path: Path) -> Path:
    """A bundle of one's own."""
    return Path(shutil.copytree(sealed_bundles[0], tmp_path / "bundle"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW + timedelta(minutes=1))


@pytest.fixture
def lonely_settings(tmp_path: Path) -> Settings:
    """Settings of a process around which nothing runs."""
    return Settings(
        var_dir=tmp_path / "var",
        ports_from=free_ports(),
        serving_token=SecretStr(TOKEN),
        exploration_rate=0.0,
        # A test machine that is busy must not turn a slate into a fallback.
        request_deadline_ms=5_000,
    )


@pytest.fixture
def lonely_parts(lonely_settings: Settings, clock: ManualClock) -> Parts:
    """Parts of a process around which nothing runs; it gives Kafka up sooner than usual."""
    parts = build_parts(lonely_settings, clock)
    return dataclasses.replace(
        parts,
        events=EventLog(lonely_settings.kafka, timeout_seconds=0.5),
        impressions=ImpressionLog(EventLog(lonely_settings.kafka, timeout_seconds=0.5), parts.telemetry),
    )


@pytest.fixture
def lonely_client(lonely_parts: Parts) -> Iterator[TestClient]:
    """A client of an app that never had a bundle."""
    with TestClient(create_app(lonely_parts)) as client:
        yield client


@pytest.fixture
def restarted_client(lonely_parts: Parts, bundle: Path) -> Iterator[TestClient]:
    """A client of an app that finds only the bundle it served before a restart."""
    store = BundleStore(lonely_parts.settings.var_dir / "serving")
    version = ModelVersion("7", "runs:/before/bundle")
    store.keep(bundle, version)
    store.remember(version)
    lonely_parts.releases.restore()
    with TestClient(create_app(lonely_parts)) as client:
        yield client


@pytest.fixture(scope="session")
def feast_stack(base_stack: Settings) -> Settings:
    """Settings of a stack with the feature definitions applied."""
    run_module("jobs.etl.apply_features")
    return base_stack


Event = dict[str, object]


@pytest.fixture
def make_event() -> Callable[..., Event]:
    """Return a well-formed event with some fields changed; None leaves a field out."""

    def make(**changes: object) -> Event:
        event: Event = {
            "event_id": "e1",
            "event_time": "2026-06-01T12:00:00Z",
            "action": "save",
            "user_id": "u1",
            "item_id": "i1",
        }
        return {name: value for name, value in (event | changes).items() if value is not None}

    return make
