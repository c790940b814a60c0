"""Ask MLflow where `champion` points, and fetch that version's files. Never loads a model through MLflow."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recloop.bundles import NOT_REGISTERED, Alias
from recloop.errors import ComponentUnavailable
from recloop.settings import Settings

# Read by MLflow when it makes a request. A poll that fails is made again a second later: no retries inside it.
MLFLOW_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class ModelVersion:
    """One version in the model registry, and where its files are."""

    version: str
    uri: str

    @property
    def key(self) -> str:
        """Name of its folder on disk. A registry that starts anew counts from 1 again: the URI tells them apart."""
        return f"{self.version}-{hashlib.sha256(self.uri.encode()).hexdigest()[:8]}"


class ModelRegistry:
    """The registered model of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.mlflow
        self._name = settings.model_name
        self._known: Any = None

    def champion(self) -> ModelVersion | None:
        """Return the version that the alias names; None when there is no such model or alias.

        Raises:
            ComponentUnavailable: MLflow does not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            found = self._client().get_model_version_by_alias(self._name, Alias.CHAMPION)
            uri = self._client().get_model_version_download_uri(self._name, found.version)
        except MlflowException as error:
            if error.error_code in NOT_REGISTERED:
                return None
            raise ComponentUnavailable(f"MLflow at {self._uri} does not answer: {error.message[:200]}") from error
        return ModelVersion(str(found.version), uri)

    def download(self, version: ModelVersion, to: Path) -> Path:
        """Fetch a version's files into the folder `to`; return where they lie.

        Raises:
            ComponentUnavailable: they cannot be fetched.
        """
        from mlflow.artifacts import download_artifacts

        try:
            # Not by `models:/name/version`: that way MLflow adds a file of its own to the folder.
            return Path(download_artifacts(artifact_uri=version.uri, dst_path=str(to), tracking_uri=self._uri))
        except Exception as error:  # each artifact store has its own errors
            raise ComponentUnavailable(f"version {version.version} cannot be fetched: {error}") from error

    def _client(self) -> Any:
        if self._known is None:
            for name, default in MLFLOW_ENVIRONMENT.items():
                os.environ.setdefault(name, default)
            from mlflow import MlflowClient

            self._known = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._known
