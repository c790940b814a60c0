"""A bundle is loaded only when every byte, every graph and every golden answer is right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from recloop.bundles import MANIFEST, BundleFile, trees_file, verify
from recloop.errors import BundleIncompatible, BundleTampered
from recloop.labels import Head
from recloop.ranker import RANKER_COLUMNS
from recloop.ranking import RANKING_FEATURES, Context
from serving.scoring import load_bundle
from tests.serving.bundles import HEADS, NOW_MS, flip_bit, seal_bundle, train_head, user_with


def test_what_a_user_did_changes_the_scores(bundle: Path) -> None:
    recommender = load_bundle(bundle)
    first, second = (
        recommender.score(user_with(item_id), context=Context(NOW_MS), exclude=["i0", "i1"]).heads[Head.CLICK]
        for item_id in ("i0", "i1")
    )
    assert len(first) > 40
    assert not np.array_equal(np.sort(first), np.sort(second))


def test_a_ranker_reads_the_history_itself(sealed_bundles: tuple[Path, Path]) -> None:
    recommender = load_bundle(sealed_bundles[1])
    rows = np.arange(20, 40)
    blind = recommender.candidates(rows, cf_scores=np.zeros(60), sequence_scores=np.zeros(60))
    first, second = (
        recommender.rank(user_with(item_id, "i9"), blind, context=Context(NOW_MS)).heads[Head.CLICK]
        for item_id in ("i0", "i1")
    )
    assert not np.array_equal(first, second)


def test_what_a_ranker_says_of_a_head_moves_that_head(sealed_bundles: tuple[Path, Path]) -> None:
    recommender = load_bundle(sealed_bundles[1])
    columns = (*RANKING_FEATURES, *RANKER_COLUMNS)
    matrix = np.zeros((3, len(columns)), dtype=np.float32)
    matrix[:, columns.index(f"ranker_{Head.CLICK}")] = [-3, 0, 3]
    found = recommender.predict(matrix)
    assert (np.diff(found[Head.CLICK]) > 0.1).all()
    for head in set(found) - {Head.CLICK}:
        assert len(set(found[head].tolist())) == 1


@pytest.mark.parametrize(
    ("name", "why"), [(BundleFile.RANKER, "its files give"), (BundleFile.USER_ENCODER, BundleFile.USER_ENCODER)]
)
def test_sealed_bundle_without_one_of_its_graphs_is_refused(
    sealed_bundles: tuple[Path, Path], tmp_path: Path, name: str, why: str
) -> None:
    copy = Path(shutil.copytree(sealed_bundles[1], tmp_path / "copy"))
    (copy / name).unlink()
    seal_bundle(copy, "incomplete", (*RANKING_FEATURES, *RANKER_COLUMNS))
    with pytest.raises(BundleIncompatible, match=why):
        load_bundle(copy)


def test_a_ranker_with_other_inputs_is_refused(sealed_bundles: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sealed_bundles[1], tmp_path / "copy"))
    shutil.copy(copy / BundleFile.USER_ENCODER, copy / BundleFile.RANKER)
    seal_bundle(copy, "swapped", (*RANKING_FEATURES, *RANKER_COLUMNS))
    with pytest.raises(BundleIncompatible, match=r"ranker\.onnx has inputs"):
        load_bundle(copy)


@pytest.mark.parametrize(
    "name",
    [BundleFile.USER_ENCODER, BundleFile.ITEM_FEATURES, BundleFile.ITEMS, BundleFile.GOLDEN, trees_file(Head.CLICK)],
)
def test_one_flipped_bit_is_refused_by_the_files_name(bundle: Path, name: str) -> None:
    flip_bit(bundle / name)
    with pytest.raises(BundleTampered, match=f"^{name}"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", [BundleFile.USER_ENCODER, BundleFile.ITEM_VECTORS, trees_file(Head.LIKE)])
def test_sealed_rubbish_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"rubbish")
    seal_bundle(bundle, "rubbish")
    with pytest.raises(BundleIncompatible, match="bundle rubbish cannot be loaded"):
        load_bundle(bundle)


def test_sealed_bundle_without_a_file_is_refused_by_its_name(bundle: Path) -> None:
    (bundle / BundleFile.CALIBRATION).unlink()
    seal_bundle(bundle, "incomplete")
    with pytest.raises(BundleIncompatible, match=BundleFile.CALIBRATION):
        load_bundle(bundle)


def test_pickled_array_is_refused(bundle: Path) -> None:
    np.save(bundle / BundleFile.CF_FACTORS, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    seal_bundle(bundle, "pickled")
    with pytest.raises(BundleIncompatible, match="allow_pickle"):
        load_bundle(bundle)


def test_heads_trained_on_other_features_are_refused(bundle: Path) -> None:
    import lightgbm

    rows = np.random.default_rng(0).normal(size=(500, 3))
    data = lightgbm.Dataset(rows, (rows[:, 0] > 0).astype(int))
    lightgbm.train({"objective": "binary", "verbose": -1}, data, 2).save_model(bundle / trees_file(Head.CLICK))
    seal_bundle(bundle, "narrow")
    with pytest.raises(BundleIncompatible, match=r"trees_click\.txt reads 3 features"):
        load_bundle(bundle)


def test_other_golden_answers_are_refused(bundle: Path) -> None:
    train_head(bundle / trees_file(HEADS[0]), seed=99, rounds=3)
    seal_bundle(bundle, "swapped-head")
    with pytest.raises(BundleIncompatible, match="golden request"):
        load_bundle(bundle)


def test_everything_seen_gives_no_candidate(bundle: Path) -> None:
    recommender = load_bundle(bundle)
    scored = recommender.score(user_with("i0"), context=Context(NOW_MS), exclude=recommender.items.ids)
    assert {len(values) for values in scored.heads.values()} == {0}


def test_manifest_of_a_loaded_bundle_is_the_one_on_disk(bundle: Path) -> None:
    assert load_bundle(bundle).manifest == verify(bundle)
    assert json.loads((bundle / MANIFEST).read_text())["bundle_id"] == "one"
