"""Bundles as written: complete, tamper-proof, and the same when read again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.bundles import BundleFile, read_json, verify
from recloop.errors import BundleTampered
from recloop.golden import check_golden
from recloop.ranking import Context, UserState
from training.bundle import N_GOLDEN, code_commit
from training.data.dataset import TrainingSet
from training.scoring import load_bundle

pytestmark = pytest.mark.slow


def test_golden_batch_holds_known_users_and_a_stranger(trained: tuple[Path, Any]) -> None:
    recommender = load_bundle(trained[0])
    assert check_golden(trained[0], recommender) == N_GOLDEN + 1
    users = [entry["request"]["user"]["user_id"] for entry in read_json(trained[0], BundleFile.GOLDEN)]
    assert users[-1] == "nobody"
    assert "nobody" not in users[:-1]


def test_one_changed_bit_is_refused_by_name(trained: tuple[Path, Any], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained[0], tmp_path / "bundle"))
    path = copy / BundleFile.USER_ENCODER
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleTampered, match=r"^user_encoder\.onnx has sha256"):
        load_bundle(copy)


def test_no_file_is_a_pickle(trained: tuple[Path, Any]) -> None:
    files = sorted(verify(trained[0]).files)
    assert files
    assert {Path(name).suffix for name in files} == {".json", ".npy", ".npz", ".onnx", ".txt", ".md"}
    for name in files:
        if name.endswith((".npy", ".npz")):
            np.load(trained[0] / name, allow_pickle=False)


def test_an_action_changes_the_slate(trained: tuple[Path, Any], training_set: TrainingSet) -> None:
    recommender = load_bundle(trained[0])
    state = training_set.user_state(len(training_set.examples) - 1)
    context = Context(training_set.split.end_ms)
    before = recommender.score(state, context=context)
    other = UserState(state.user_id, numbers=state.numbers, as_of_ms=state.as_of_ms, recent=state.recent.before(
        state.recent.times_ms[-3]
    ))  # fmt: skip
    after = recommender.score(other, context=context)
    assert not np.array_equal(before.candidates.sequence_scores[:5], after.candidates.sequence_scores[:5])


def test_model_card_tells_spans_and_numbers(trained: tuple[Path, Any]) -> None:
    card = (trained[0] / BundleFile.MODEL_CARD).read_text()
    assert f"# Bundle {verify(trained[0]).bundle_id}" in card
    assert f"{trained[1]['offline']['model']['ndcg_at_10']:.4f}" in card
    assert "| holdout | 2024-03-" in card
    assert "No head long_view: has 0 + 0 positives" in card


def test_commit_is_a_hash_or_unknown() -> None:
    commit = code_commit()
    assert commit == "unknown" or (len(commit) == 40 and int(commit, 16))
