"""What lies on disk is whole, bounded, and found again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.bundle_store import KEPT, BundleStore
from serving.registry import ModelVersion

VERSIONS = [ModelVersion(str(number), f"runs:/{number}/bundle") for number in range(1, 8)]


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path)


def keep(store: BundleStore, version: ModelVersion) -> Path:
    fetched = store.empty_incoming() / "bundle"
    fetched.mkdir()
    (fetched / "manifest.json").write_text(version.version)
    return store.keep(fetched, version)


def test_kept_bundle_is_where_it_is_looked_for(store: BundleStore) -> None:
    folder = keep(store, VERSIONS[0])
    assert folder == store.folder(VERSIONS[0])
    assert (folder / "manifest.json").read_text() == "1"


def test_note_names_the_version_served_last(store: BundleStore) -> None:
    assert store.last_good() is None
    keep(store, VERSIONS[0])
    store.remember(VERSIONS[0])
    store.remember(VERSIONS[1])
    assert store.last_good() == VERSIONS[1]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": "1"}'])
def test_damaged_note_counts_as_none(store: BundleStore, tmp_path: Path, damage: str) -> None:
    (tmp_path / "last_good.json").write_text(damage)
    assert store.last_good() is None


def test_pruning_keeps_the_newest_and_what_is_in_use(store: BundleStore, tmp_path: Path) -> None:
    for age, version in enumerate(reversed(VERSIONS)):
        os.utime(keep(store, version), (1_000_000 - age, 1_000_000 - age))
    store.prune([VERSIONS[0]])
    left = {path.name.partition("-")[0] for path in (tmp_path / "bundles").iterdir()}
    assert left == {"1", "6", "7"}
    assert len(left) == KEPT


def test_what_was_half_fetched_is_gone(store: BundleStore) -> None:
    (store.empty_incoming() / "half").write_text("x")
    assert list(store.empty_incoming().iterdir()) == []
