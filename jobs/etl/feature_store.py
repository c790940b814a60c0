"""The feature store as batch jobs open it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recloop.feast_env import FEATURE_REPO, feast_environment
from recloop.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore


def open_feature_store(settings: Settings) -> FeatureStore:
    """Open Feast on feature_repo/; its offline reads use the Spark session that is already running."""
    os.environ.update(feast_environment(settings, offline=True))
    from feast import FeatureStore

    return FeatureStore(repo_path=str(FEATURE_REPO))
