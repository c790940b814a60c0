"""What MLflow says and holds is what serving gets."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

from recloop.errors import ComponentUnavailable
from recloop.settings import Settings
from serving.registry import ModelRegistry, ModelVersion
from tests.serving.registered import Registered


def test_server_that_is_down_is_said(lonely_settings: Settings) -> None:
    with pytest.raises(ComponentUnavailable, match=lonely_settings.mlflow):
        ModelRegistry(lonely_settings).champion()


def test_key_tells_versions_of_two_registries_apart() -> None:
    assert ModelVersion("1", "runs:/a/bundle").key != ModelVersion("1", "runs:/b/bundle").key


@pytest.mark.stack
def test_champion_is_found_and_fetched_as_it_was_logged(
    mlflow_stack: Settings, sealed_bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = mlflow_stack.model_copy(update={"model_name": "fetched"})
    registry = ModelRegistry(settings)
    assert registry.champion() is None, "there is no such model"
    registered = Registered(settings)
    versions = [registered.add(bundle) for bundle in sealed_bundles]
    assert registry.champion() is None, "there is no alias"
    for version, bundle in zip(versions, sealed_bundles, strict=True):
        registered.promote(version)
        champion = registry.champion()
        assert champion is not None
        assert champion.version == version
        folder = registry.download(champion, tmp_path / version)
        names = sorted(path.name for path in bundle.iterdir())
        assert sorted(path.name for path in folder.iterdir()) == names
        assert filecmp.cmpfiles(bundle, folder, names, shallow=False) == (names, [], [])
    registered.demote()
    assert registry.champion() is None
    with pytest.raises(ComponentUnavailable, match="cannot be fetched"):
        registry.download(ModelVersion("9", "runs:/0123456789abcdef0123456789abcdef/bundle"), tmp_path)
