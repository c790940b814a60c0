"""Register bundles in a real MLflow, as training does: plain files, a version, an alias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recloop.bundles import Alias
from recloop.settings import Settings


class Registered:
    """The model of the settings in MLflow."""

    def __init__(self, settings: Settings) -> None:
        from mlflow import MlflowClient

        self.client: Any = MlflowClient(tracking_uri=settings.mlflow, registry_uri=settings.mlflow)
        self.name = settings.model_name
        self.client.create_registered_model(self.name)
        self._experiment = self.client.create_experiment(self.name)

    def add(self, bundle: Path) -> str:
        """Register a bundle; return its version."""
        run_id = self.client.create_run(self._experiment).info.run_id
        self.client.log_artifacts(run_id, str(bundle), "bundle")
        source = f"runs:/{run_id}/bundle"
        return str(self.client.create_model_version(self.name, source=source, run_id=run_id).version)

    def promote(self, version: str) -> None:
        """Move the alias."""
        self.client.set_registered_model_alias(self.name, Alias.CHAMPION, version)

    def demote(self) -> None:
        """Take the alias away."""
        self.client.delete_registered_model_alias(self.name, Alias.CHAMPION)
