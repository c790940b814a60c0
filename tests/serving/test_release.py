"""The alias moves and serving follows; a bundle that is wrong changes nothing."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from recloop.bundles import BundleFile
from recloop.clock import ManualClock
from recloop.errors import ComponentUnavailable
from serving.app import Parts, create_app
from serving.bundle_store import BundleStore
from serving.registry import ModelVersion
from serving.release import Releases
from serving.scoring import load_bundle
from serving.slate_maker import SlateMaker
from serving.telemetry import Telemetry
from tests.serving.bundles import flip_bit


class FolderRegistry:
    """The model registry as folders, for what is hard to do to a server; test_registry.py has the real one."""

    def __init__(self, bundles: tuple[Path, ...]) -> None:
        self.versions = {
            str(number): (ModelVersion(str(number), f"runs:/{number}/bundle"), bundle)
            for number, bundle in enumerate(bundles, start=1)
        }
        self.alias: str | None = None
        self.is_down = False
        self.downloads: Counter[str] = Counter()

    def champion(self) -> ModelVersion | None:
        if self.is_down:
            raise ComponentUnavailable("MLflow does not answer")
        return None if self.alias is None else self.versions[self.alias][0]

    def download(self, version: ModelVersion, to: Path) -> Path:
        self.downloads[version.version] += 1
        return Path(shutil.copytree(self.versions[version.version][1], to / "bundle"))


@pytest.fixture
def registry(sealed_bundles: tuple[Path, Path], tmp_path: Path) -> FolderRegistry:
    copies = (Path(shutil.copytree(one, tmp_path / "registry" / one.name)) for one in sealed_bundles)
    return FolderRegistry(tuple(copies))


def make_releases(registry: FolderRegistry, folder: Path) -> Releases:
    return Releases(
        registry=registry,  # type: ignore[arg-type]
        store=BundleStore(folder),
        load=load_bundle,
        clock=ManualClock(),
        telemetry=Telemetry(),
        poll_seconds=0.01,
    )


@pytest.fixture
def releases(registry: FolderRegistry, tmp_path: Path) -> Releases:
    return make_releases(registry, tmp_path / "serving")


def move(releases: Releases, registry: FolderRegistry, to: str | None) -> str | None:
    registry.alias = to
    releases.check()
    return releases.current and releases.current.version


def test_alias_is_followed_forward_and_back(releases: Releases, registry: FolderRegistry) -> None:
    assert [move(releases, registry, to) for to in ("1", "2", "1", "2")] == ["1", "2", "1", "2"]
    assert registry.downloads == {"1": 1, "2": 1}, "a rollback fetches nothing"


def test_without_alias_nothing_changes(releases: Releases, registry: FolderRegistry) -> None:
    assert move(releases, registry, None) is None
    assert "no model version has the alias champion" in releases.why_none()
    move(releases, registry, "1")
    assert move(releases, registry, None) == "1"


def test_registry_that_is_down_changes_nothing(releases: Releases, registry: FolderRegistry) -> None:
    move(releases, registry, "1")
    registry.is_down = True
    assert move(releases, registry, "2") == "1"
    assert releases.polling == "MLflow does not answer"
    registry.is_down = False
    assert move(releases, registry, "2") == "2"
    assert releases.polling == "ok"


def test_tampered_bundle_is_refused_by_the_files_name_and_the_old_one_stays(
    releases: Releases, registry: FolderRegistry, tmp_path: Path
) -> None:
    move(releases, registry, "1")
    flip_bit(registry.versions["2"][1] / BundleFile.ITEM_VECTORS)
    assert move(releases, registry, "2") == "1"
    assert releases.refused[-1].reason.startswith(BundleFile.ITEM_VECTORS)
    assert [path.name[0] for path in (tmp_path / "serving" / "bundles").iterdir()] == ["1"], "it never gets a name"


def test_refused_bundle_is_fetched_again_only_when_asked(releases: Releases, registry: FolderRegistry) -> None:
    bundle = registry.versions["2"][1]
    move(releases, registry, "1")
    flip_bit(bundle / BundleFile.ITEM_VECTORS)
    for _ in range(3):
        move(releases, registry, "2")
    assert (registry.downloads["2"], len(releases.refused)) == (1, 1)
    flip_bit(bundle / BundleFile.ITEM_VECTORS)  # mended
    releases.check(again=True)
    assert releases.current is not None
    assert releases.current.version == "2"


def test_refused_bundle_gets_another_chance_when_the_alias_comes_back(
    releases: Releases, registry: FolderRegistry
) -> None:
    move(releases, registry, "1")
    flip_bit(registry.versions["2"][1] / BundleFile.ITEM_VECTORS)
    for to in ("2", "1", "2"):
        move(releases, registry, to)
    assert registry.downloads["2"] == 2


def test_bundle_changed_on_disk_is_fetched_again_before_a_rollback_to_it(
    releases: Releases, registry: FolderRegistry, tmp_path: Path
) -> None:
    move(releases, registry, "1")
    move(releases, registry, "2")
    flip_bit(BundleStore(tmp_path / "serving").folder(registry.versions["1"][0]) / BundleFile.POPULARITY)
    assert move(releases, registry, "1") == "1"
    assert registry.downloads["1"] == 2


def test_restart_without_registry_serves_the_last_good_bundle(
    releases: Releases, registry: FolderRegistry, tmp_path: Path
) -> None:
    move(releases, registry, "1")
    move(releases, registry, "2")
    registry.is_down = True
    restarted = make_releases(registry, tmp_path / "serving")
    restarted.restore()
    restarted.check()
    assert restarted.current is not None
    assert restarted.current.version == "2"


def test_restart_refuses_a_bundle_that_was_changed_on_disk(
    releases: Releases, registry: FolderRegistry, tmp_path: Path
) -> None:
    move(releases, registry, "1")
    flip_bit(BundleStore(tmp_path / "serving").folder(registry.versions["1"][0]) / BundleFile.USER_ENCODER)
    restarted = make_releases(registry, tmp_path / "serving")
    restarted.restore()
    assert restarted.current is None
    assert BundleFile.USER_ENCODER in restarted.why_none()
    restarted.check()
    assert restarted.current is not None, "the registry has a good copy"


def test_registry_that_starts_anew_does_not_get_an_old_bundle(
    releases: Releases, registry: FolderRegistry, sealed_bundles: tuple[Path, Path]
) -> None:
    move(releases, registry, "1")
    registry.versions["1"] = (ModelVersion("1", "runs:/another/bundle"), sealed_bundles[1])
    move(releases, registry, "1")
    assert releases.current is not None
    assert releases.current.bundle_id == "two"


def test_watch_survives_whatever_goes_wrong(releases: Releases, registry: FolderRegistry) -> None:
    registry.alias = "no such version"  # a KeyError, which no code expects
    releases.start()
    wait_for(lambda: "KeyError" in releases.polling)
    registry.alias = "1"
    wait_for(lambda: releases.current is not None)
    releases.stop()


def wait_for(condition: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def swapping_client(lonely_parts: Parts, releases: Releases) -> Iterator[TestClient]:
    """A client of an app that takes its releases from the folder registry."""
    slates = SlateMaker(
        settings=lonely_parts.settings, clock=lonely_parts.clock, releases=releases, features=lonely_parts.features,
        telemetry=lonely_parts.telemetry,
    )  # fmt: skip
    with TestClient(create_app(dataclasses.replace(lonely_parts, releases=releases, slates=slates))) as client:
        yield client


def test_no_request_fails_while_bundles_are_swapped(
    swapping_client: TestClient, releases: Releases, registry: FolderRegistry
) -> None:
    registry.alias = "1"
    wait_for(lambda: releases.current is not None)
    answers: list[tuple[int, str]] = []
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            answer = swapping_client.post("/v1/recommendations", json={"user_id": "u", "k": 5})
            answers.append((answer.status_code, answer.json().get("model_version", answer.text)))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for to in ("2", "1", "2"):
        seen = len(answers)
        registry.alias = to
        wait_for(lambda to=to: releases.current.version == to)
        wait_for(lambda seen=seen: len(answers) > seen + 20)
    stopped.set()
    for asker in askers:
        asker.join()
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {"1", "2"}
