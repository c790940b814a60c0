"""Two bundles of one seed: the same by bytes of the trees and by metrics, whatever a run cost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.determinism import ALLOWED, compare
from recloop.bundles import MANIFEST, BundleFile, trees_file
from recloop.labels import Head
from tests.recloop.conftest import write_tiny_bundle

TREES = trees_file(Head.CLICK)


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Path, Path]:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    write_tiny_bundle(one)
    return one, Path(shutil.copytree(one, other))


def with_metrics(bundle: Path, **metrics: Any) -> None:
    """Write metrics into a manifest: only bytes that are read are compared, so the seal may break."""
    facts = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps(facts | {"metrics": metrics}))


def test_equal_bundles_are_the_same_file_by_file(bundles: tuple[Path, Path]) -> None:
    found = compare(*bundles)
    assert found["same"]
    assert {TREES, BundleFile.CF_FACTORS, BundleFile.ITEMS} <= set(found["same_bytes"])
    assert set(found["same_bytes"].values()) == {True}
    assert MANIFEST not in found["same_bytes"], "it says when each was made"
    assert set(found["arrays_apart_at_most"].values()) == {0.0}


def test_one_byte_of_a_tree_makes_them_differ(bundles: tuple[Path, Path]) -> None:
    (bundles[1] / TREES).write_text("tree!\n")
    found = compare(*bundles)
    assert not found["same"]
    assert [name for name, same in found["same_bytes"].items() if not same] == [TREES]


def test_arrays_may_differ_and_it_is_said_by_how_much(bundles: tuple[Path, Path]) -> None:
    path = bundles[1] / BundleFile.CF_FACTORS
    factors = np.load(path)
    factors[0, 0] += 0.25
    factors[1, 1] -= 0.5
    np.save(path, factors)
    found = compare(*bundles)
    assert found["same"]
    assert found["arrays_apart_at_most"][BundleFile.CF_FACTORS] == pytest.approx(0.5)
    assert not found["same_bytes"][BundleFile.CF_FACTORS]


def test_unknown_numbers_of_both_are_equal(bundles: tuple[Path, Path]) -> None:
    for bundle in bundles:
        np.save(bundle / BundleFile.ITEM_FEATURES, np.array([np.nan, 1.0]))
    assert compare(*bundles)["arrays_apart_at_most"][BundleFile.ITEM_FEATURES] == 0.0


def test_arrays_that_cannot_be_held_beside_each_other_have_no_distance(bundles: tuple[Path, Path]) -> None:
    (bundles[0] / BundleFile.CF_FACTORS).unlink()
    np.save(bundles[1] / BundleFile.ITEM_VECTORS, np.zeros((3, 3)))
    found = compare(*bundles)
    assert found["arrays_apart_at_most"][BundleFile.CF_FACTORS] is None
    assert found["arrays_apart_at_most"][BundleFile.ITEM_VECTORS] is None
    assert not found["same_bytes"][BundleFile.CF_FACTORS]


@pytest.mark.parametrize(
    ("ours", "theirs", "apart"),
    [
        pytest.param({"heads": {"click": {"auc": 0.7}}}, {"heads": {"click": {"auc": 0.6}}}, 0.7 - 0.6, id="nested"),
        pytest.param({"low_high": [0.1, 0.4]}, {"low_high": [0.1, 0.1]}, 0.4 - 0.1, id="in_a_list"),
        pytest.param({"auc": 0.7}, {"auc": 0.7 + ALLOWED / 2}, ALLOWED / 2, id="within_what_is_allowed"),
        pytest.param({"auc": 0.7}, {}, np.inf, id="in_one_only"),
        pytest.param({"seconds": {"read": 1}}, {"seconds": {"read": 5}, "peak_memory_mb": 9}, 0.0, id="costs"),
        pytest.param({}, {}, 0.0, id="none"),
    ],
)
def test_metrics_are_as_far_apart_as_the_farthest(
    bundles: tuple[Path, Path], ours: dict[str, Any], theirs: dict[str, Any], apart: float
) -> None:
    for bundle, metrics in zip(bundles, (ours, theirs), strict=True):
        with_metrics(bundle, **metrics)
    found = compare(*bundles)
    assert found["metrics_apart_at_most"] == pytest.approx(apart)
    assert found["same"] is (apart <= ALLOWED)
