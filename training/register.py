"""Log a bundle to MLflow as a model version and point the alias `challenger` at it.

In: a sealed bundle and the training set it was made from. Out: an MLflow run with parameters, metrics, signature and
the bundle as an artifact; a version of the registered model; the last line printed is a JSON object with the version.
Run: python -m training.register --bundle DIR --training-set DIR
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recloop import cli
from recloop.bundles import Alias, BundleFile, Manifest, verify
from recloop.clock import to_ms
from recloop.settings import Settings, load_settings
from training.costs import peak_memory_mb
from training.registry import BUNDLE_ARTIFACT, TRAINING_SET_TAG, describe, flat_metrics, open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

EXPERIMENT = "recloop"
MAX_NUMBERS = 1_000
"""What MLflow takes in one call."""


def main(argv: Sequence[str] | None = None) -> int:
    """Register one bundle."""
    parser = argparse.ArgumentParser(prog="python -m training.register", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the sealed bundle")
    parser.add_argument("--training-set", type=Path, required=True, help="folder it was trained on; the gate reads it")
    args = parser.parse_args(argv)

    def command() -> int:
        print(json.dumps(register(args.bundle, args.training_set, settings=load_settings())))
        return 0

    return cli.run(command)


def register(bundle: Path, training_set: Path, *, settings: Settings) -> dict[str, Any]:
    """Register a bundle; return what the last line of the command says.

    Raises:
        BundleError: the bundle is not what its manifest says; nothing was registered.
        ComponentUnavailable: MLflow does not answer.
    """
    started = time.monotonic()
    manifest = verify(bundle)
    client = open_registry(settings)
    run_id = _log_run(client, bundle, manifest, training_set.resolve())
    _ensure_model(client, settings.model_name)
    card = (bundle / BundleFile.MODEL_CARD).read_text(encoding="utf-8")
    version = client.create_model_version(
        settings.model_name,
        source=f"runs:/{run_id}/{BUNDLE_ARTIFACT}",
        run_id=run_id,
        description=describe(card),
        tags={TRAINING_SET_TAG: str(training_set.resolve()), "bundle_id": manifest.bundle_id},
    )
    client.set_registered_model_alias(settings.model_name, Alias.CHALLENGER, version.version)
    return {
        "version": str(version.version),
        "run_id": run_id,
        "rows_in": len(manifest.files),
        "rows_out": 1,
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
    }


def _log_run(client: MlflowClient, bundle: Path, manifest: Manifest, training_set: Path) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
    run_id = str(client.create_run(experiment_id, run_name=manifest.bundle_id).info.run_id)
    try:
        for name, value in _parameters(manifest, training_set).items():
            client.log_param(run_id, name, value)
        numbers = _numbers(manifest)
        for first in range(0, len(numbers), MAX_NUMBERS):
            client.log_batch(run_id, metrics=numbers[first : first + MAX_NUMBERS])
        client.log_dict(run_id, _signature(manifest), "signature.json")
        client.log_artifacts(run_id, str(bundle), BUNDLE_ARTIFACT)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return run_id


def _parameters(manifest: Manifest, training_set: Path) -> dict[str, Any]:
    snapshots = {f"snapshot.{table}": snapshot for table, snapshot in manifest.data_snapshots.items()}
    return {
        "bundle_id": manifest.bundle_id,
        "code_commit": manifest.code_commit,
        "feature_contract": manifest.feature_contract,
        "heads": ",".join(manifest.heads),
        "cf_regularization": manifest.cf_regularization,
        "cf_alpha": manifest.cf_alpha,
        "training_set": training_set,
        **snapshots,
    }


def _numbers(manifest: Manifest) -> list[Metric]:
    """Return what the run shows of the metrics: not slices, of which there are many, with = in their names."""
    from mlflow.entities import Metric

    whole = {name: own for name, own in manifest.metrics.items() if name != "slices"}
    made_ms = to_ms(manifest.created_at)
    return [Metric(name, number, made_ms, 0) for name, number in flat_metrics(whole).items()]


def _signature(manifest: Manifest) -> dict[str, Any]:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec("float", name) for name in manifest.ranking_features])
    outputs = Schema([ColSpec("double", str(head)) for head in manifest.heads])
    return dict(ModelSignature(inputs=inputs, outputs=outputs).to_dict())


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description="Bundles of recloop; the alias `champion` is what serves.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


if __name__ == "__main__":
    sys.exit(main())
