"""The bundle: one directory per trained model, verified before it may answer anyone.

`manifest.json` names every other file with its sha256 and size. No pickle anywhere: JSON, npy (loaded with
allow_pickle=False), LightGBM text, ONNX. Features, model and index move together, so a rollback is one pointer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from recloop.errors import BundleIncompatible, BundleTampered
from recloop.features import contract_id
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES

FORMAT = 4
MANIFEST = "manifest.json"


class Alias(StrEnum):
    """Movable names of model versions in the registry."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


NOT_REGISTERED = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
"""MLflow's error codes for a model, a version or an alias that is not there; any other is an outage."""


class BundleFile(StrEnum):
    """Files of a bundle; `trees_<head>.txt` are named by `trees_file`. Not each has STATISTICS or RANKER.

    TRANSFORMER is for the next training; nothing that serves reads it.
    """

    ITEMS = "items.json"
    ITEM_FEATURES = "item_features.npy"
    POPULARITY = "popularity.json"
    CF_FACTORS = "cf_item_factors.npy"
    ITEM_VECTORS = "item_vectors.npy"
    USER_ENCODER = "user_encoder.onnx"
    TRANSFORMER = "transformer.npz"
    CALIBRATION = "calibration.json"
    VOCABULARIES = "vocabularies.json"
    STATISTICS = "statistics.npz"
    RANKER = "ranker.onnx"
    GOLDEN = "golden.json"
    MODEL_CARD = "model_card.md"


def trees_file(head: Head) -> str:
    """Return the name of the file of a head's trees, a LightGBM text."""
    return f"trees_{head}.txt"


class FileEntry(BaseModel):
    """What the manifest says of one file."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Manifest(BaseModel):
    """What a bundle is: made of what, from what, how good."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    bundle_id: str = Field(pattern="^[0-9a-z-]{1,64}$")
    created_at: AwareDatetime
    feature_contract: str
    ranking_features: tuple[str, ...]
    heads: tuple[Head, ...]
    code_commit: str
    data_snapshots: dict[str, str]
    cf_regularization: float = Field(gt=0)
    cf_alpha: float = Field(gt=0)
    metrics: dict[str, Any]
    files: dict[str, FileEntry]


def file_entry(path: Path) -> FileEntry:
    """Return the sha256 and size of a file, read once."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return FileEntry(sha256=digest.hexdigest(), size=path.stat().st_size)


def seal(directory: Path, *, created_at: datetime, facts: Mapping[str, Any]) -> Manifest:
    """Write the manifest over every file now in `directory`; call it last.

    Args:
        directory: flat directory that holds the bundle's files.
        created_at: when it was made.
        facts: the manifest's other fields (bundle_id, ranking_features, heads, code_commit, …).
    """
    files = {path.name: file_entry(path) for path in sorted(directory.iterdir()) if path.name != MANIFEST}
    manifest = Manifest(created_at=created_at, feature_contract=contract_id(), files=files, **facts)
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """Read a manifest without looking at the files it names.

    Raises:
        BundleTampered: it is missing or does not parse.
    """
    path = directory / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleTampered(f"{path} cannot be read as a manifest: {error}. Register the bundle again.") from error


def verify(directory: Path) -> Manifest:
    """Check every byte of a bundle against its manifest; return the manifest.

    Raises:
        BundleTampered: a file is missing, extra, outside the directory, or has other bytes; the message names it.
        BundleIncompatible: another format, feature contract or feature order.
    """
    manifest = read_manifest(directory)
    found = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()} - {MANIFEST}
    for name in sorted(found ^ manifest.files.keys()):
        where = "is in the directory but not in the manifest" if name in found else "is named but missing"
        raise BundleTampered(f"{name} {where} (bundle {manifest.bundle_id}). Register the bundle again.")
    for name, expected in manifest.files.items():
        path = directory / name
        if Path(name).name != name or path.is_symlink():
            raise BundleTampered(
                f"{name} points outside the bundle {manifest.bundle_id}; it must be a plain file in it."
            )
        actual = file_entry(path)
        if actual != expected:
            raise BundleTampered(
                f"{name} has sha256 {actual.sha256[:12]}… and {actual.size} bytes, the manifest of bundle "
                f"{manifest.bundle_id} says {expected.sha256[:12]}… and {expected.size}. Register the bundle again."
            )
    _check_compatible(manifest)
    return manifest


def _check_compatible(manifest: Manifest) -> None:
    # A bundle's own columns follow those that all have; its statistics say which, and the loader compares.
    common = manifest.ranking_features[: len(RANKING_FEATURES)]
    facts: dict[str, tuple[Any, Any]] = {
        "format": (manifest.format, FORMAT),
        "feature_contract": (manifest.feature_contract, contract_id()),
        "ranking_features": (common, RANKING_FEATURES),
    }
    for field, (found, value) in facts.items():
        if found != value:
            raise BundleIncompatible(
                f"bundle {manifest.bundle_id} has {field} {found!r}, this code reads {value!r}. Train with this code."
            )


def read_json(directory: Path, name: BundleFile) -> Any:
    """Read one of the bundle's JSON files."""
    return json.loads((directory / name).read_text(encoding="utf-8"))
