"""The model registry as training uses it: one registered model, versions made of sealed bundles, two aliases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recloop.bundles import NOT_REGISTERED, Alias, BundleFile
from recloop.errors import ComponentUnavailable, ConfigurationError
from recloop.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException

BUNDLE_ARTIFACT = "bundle"
TRAINING_SET_TAG = "training_set"
PREVIOUS_CHAMPION_TAG = "previous_champion"
ACCEPTED_TAG = "accepted_regression"
MAX_DESCRIPTION = 5_000
"""What MLflow's table takes, in characters; more would fail after the bundle is uploaded."""


def open_registry(settings: Settings) -> MlflowClient:
    """Return a client of the MLflow server.

    Raises:
        ComponentUnavailable: it does not answer.
    """
    # MLflow retries for minutes by default; a task that fails soon is retried by Airflow.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # Parts of MLflow ask the global setting, whose default is a new SQLite file in the current folder.
    mlflow.set_tracking_uri(settings.mlflow)
    mlflow.set_registry_uri(settings.mlflow)
    client = MlflowClient(tracking_uri=settings.mlflow, registry_uri=settings.mlflow)
    try:
        client.search_registered_models(max_results=1)
    except MlflowException as error:
        raise _outage(error) from error
    return client


def find_version(client: MlflowClient, name: str, version: str) -> ModelVersion:
    """Return a version of the model.

    Raises:
        ConfigurationError: there is no such version.
        ComponentUnavailable: MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code not in NOT_REGISTERED:
            raise _outage(error) from error
        known = [found.version for found in client.search_model_versions(f"name='{name}'")]
        raise ConfigurationError(f"model {name} has no version {version!r}; there are {known or 'none'}.") from error


def champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """Return the version that the alias `champion` points at; None before the first promotion.

    Raises:
        ComponentUnavailable: MLflow does not answer; that nobody is champion must not be concluded from it.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, Alias.CHAMPION)
    except MlflowException as error:
        if error.error_code not in NOT_REGISTERED:
            raise _outage(error) from error
        return None


def _outage(error: MlflowException) -> ComponentUnavailable:
    import mlflow

    return ComponentUnavailable(f"MLflow at {mlflow.get_tracking_uri()} does not answer: {error}. Is it up?")


def download_bundle(version: ModelVersion, folder: Path) -> Path:
    """Download a version's bundle into a new folder below `folder`; return it. Needs `open_registry` before."""
    import mlflow

    target = folder / str(version.version)
    target.mkdir(parents=True)
    source = f"models:/{version.name}/{version.version}"
    return Path(mlflow.artifacts.download_artifacts(source, dst_path=str(target)))


def find_bundle(address: str, folder: Path, settings: Settings) -> Path:
    """Return the folder of a bundle: the one named, or one downloaded into `folder` from an address in MLflow.

    Args:
        address: a folder; `models:/…` or `runs:/…`; or an alias of the model that the settings name, as champion.
        folder: where a downloaded bundle is put.
        settings: where MLflow is, and the model's name.

    Raises:
        ConfigurationError: there is no such folder, or MLflow has nothing there.
        ComponentUnavailable: MLflow does not answer.
    """
    if address in set(Alias):
        address = f"models:/{settings.model_name}@{address}"
    if ":/" not in address:
        if not Path(address).is_dir():
            raise ConfigurationError(
                f"{address} is no folder; expected one that training.train wrote, models:/NAME@ALIAS, or an alias."
            )
        return Path(address)
    import mlflow
    from mlflow.exceptions import MlflowException

    open_registry(settings)
    try:
        return Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder)))
    except MlflowException as error:
        raise ConfigurationError(f"MLflow at {settings.mlflow} has no bundle at {address}: {error}") from error


def describe(card: str) -> str:
    """Return a model card as a version's description: all of it, or its first lines and where the others are."""
    if len(card) <= MAX_DESCRIPTION:
        return card
    rest = f"\n\nThe rest is in the run's artifact {BUNDLE_ARTIFACT}/{BundleFile.MODEL_CARD}."
    kept = card[: MAX_DESCRIPTION - len(rest)]
    return (kept.rpartition("\n")[0] or kept) + rest


def flat_metrics(metrics: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Return nested metrics under dotted names; texts and unknown numbers are left out, lists get their index.

    >>> flat_metrics({"offline": {"model": {"ndcg_at_10": 0.25}}, "interval": [0.1, None]})
    {'offline.model.ndcg_at_10': 0.25, 'interval.0': 0.1}
    """
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= flat_metrics(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            flat |= flat_metrics({str(place): part for place, part in enumerate(value)}, f"{prefix}{name}.")
        elif isinstance(value, int | float) and value == value:
            flat[f"{prefix}{name}"] = float(value)
    return flat
