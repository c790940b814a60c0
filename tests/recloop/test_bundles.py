"""A bundle is used only as it was sealed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recloop.bundles import MANIFEST, BundleFile, read_manifest, verify
from recloop.errors import BundleIncompatible, BundleTampered


def edit_manifest(bundle: Path, **changes: object) -> None:
    path = bundle / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_sealed_bundle_verifies(bundle: Path) -> None:
    assert verify(bundle) == read_manifest(bundle)


@pytest.mark.parametrize("name", [BundleFile.CF_FACTORS, BundleFile.POPULARITY, BundleFile.ITEM_VECTORS])
def test_one_flipped_bit_names_the_file(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleTampered, match=name.replace(".", r"\.")):
        verify(bundle)


def test_missing_file_is_named(bundle: Path) -> None:
    (bundle / BundleFile.VOCABULARIES).unlink()
    with pytest.raises(BundleTampered, match=r"vocabularies\.json is named but missing"):
        verify(bundle)


def test_extra_file_is_named(bundle: Path) -> None:
    (bundle / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleTampered, match=r"extra\.bin is in the directory but not"):
        verify(bundle)


def test_link_out_of_the_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    (bundle / BundleFile.POPULARITY).rename(outside)
    (bundle / BundleFile.POPULARITY).symlink_to(outside)
    with pytest.raises(BundleTampered, match="points outside"):
        verify(bundle)


def test_manifest_naming_a_parent_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text("{}")
    files = json.loads((bundle / MANIFEST).read_text())["files"]
    edit_manifest(bundle, files=files | {"../outside.json": next(iter(files.values()))})
    with pytest.raises(BundleTampered, match=r"outside\.json"):
        verify(bundle)


def test_unreadable_manifest_is_refused(bundle: Path) -> None:
    (bundle / MANIFEST).write_text("{")
    with pytest.raises(BundleTampered, match="cannot be read as a manifest"):
        verify(bundle)


@pytest.mark.parametrize(
    ("field", "value"), [("feature_contract", "0" * 16), ("ranking_features", ["user_touches"]), ("format", 99)]
)
def test_bundle_of_another_contract_is_refused(bundle: Path, field: str, value: object) -> None:
    edit_manifest(bundle, **{field: value})
    with pytest.raises(BundleIncompatible, match=field):
        verify(bundle)
