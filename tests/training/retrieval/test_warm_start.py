"""A warm start: the weights of an earlier bundle, matched by item, and what is left to learn."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.bundles import MANIFEST, BundleFile, verify
from recloop.errors import BundleTampered, TrainingError
from recloop.ranking import Items
from recloop.settings import Settings
from recloop.splits import TimeSplit
from training.data.dataset import TrainingSet
from training.retrieval.sequence import WARM_EPOCHS, train_sequence
from training.retrieval.warm_start import WarmStart, read_warm_start
from training.train import main, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def warm(trained: tuple[Path, Any]) -> WarmStart:
    return read_warm_start(trained[0])


@pytest.fixture
def later(training_set: TrainingSet, warm: WarmStart) -> TrainingSet:
    """The same log, of which the bundle had learned from less."""
    split = training_set.split
    step = (split.holdout_ms - split.stack_ms) // 2
    return dataclasses.replace(
        training_set, split=TimeSplit(split.start_ms, split.stack_ms + step, split.holdout_ms, split.end_ms)
    )


def model_for(n_items: int, **shape: Any) -> Any:
    from training.retrieval.sequence_model import SequenceModel, Shape

    return SequenceModel(n_items, Shape(**shape))


def test_weights_are_those_of_the_bundle(warm: WarmStart, training_set: TrainingSet) -> None:
    model = model_for(len(training_set.items))
    assert warm.load_into(model, training_set.items) == len(training_set.items)
    np.testing.assert_array_equal(model.item_vectors().detach().numpy(), warm.vectors)
    for name, part in warm.weights.items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), part)


def test_items_are_matched_by_id(warm: WarmStart, training_set: TrainingSet) -> None:
    known = training_set.items
    # One item is new, one is gone, and the order is another.
    rows = [*range(len(known) - 1, 0, -1)]
    items = known_items(known, rows, extra="not seen before")
    model = model_for(len(items))
    fresh = model.item_vectors().detach().numpy()[-1].copy()
    assert warm.load_into(model, items) == len(known) - 1
    vectors = model.item_vectors().detach().numpy()
    np.testing.assert_array_equal(vectors[:-1], warm.vectors[rows])
    np.testing.assert_array_equal(vectors[-1], fresh)


def known_items(items: Items, rows: list[int], *, extra: str) -> Items:
    def pick(values: Any, last: Any) -> tuple[Any, ...]:
        return (*(values[row] for row in rows), last)

    return Items(
        ids=pick(items.ids, extra),
        titles=pick(items.titles, ""),
        categories=pick(items.categories, ()),
        authors=pick(items.authors, ""),
        numbers=items.numbers[[*rows, 0]],
        as_of_ms=items.as_of_ms,
    )


def test_learns_in_few_epochs_what_is_new(warm: WarmStart, later: TrainingSet) -> None:
    cold = train_sequence(later, epochs=1, seed=5, device="cpu")
    result = train_sequence(later, epochs=8, seed=5, device="cpu", warm=warm)
    assert result.started_from == warm.bundle_id
    assert len(result.losses) <= WARM_EPOCHS
    assert result.learned_until_ms == cold.learned_until_ms > warm.learned_until_ms
    # Three epochs of the bundle's before, on nine tenths of the same.
    assert result.losses[0] < cold.losses[0]


def test_what_it_would_be_validated_on_must_be_new_to_it(warm: WarmStart, later: TrainingSet) -> None:
    ahead = dataclasses.replace(warm, learned_until_ms=later.split.stack_ms)
    with pytest.raises(TrainingError, match=r"validated on what was done from .*Train on later data"):
        train_sequence(later, epochs=1, seed=5, device="cpu", warm=ahead)


def test_nothing_new_is_an_error_that_says_so(warm: WarmStart, training_set: TrainingSet) -> None:
    with pytest.raises(TrainingError, match=f"0 stretches .* bundle {warm.bundle_id} did not learn from"):
        train_sequence(training_set, epochs=1, seed=5, device="cpu", warm=warm)


def test_another_shape_is_refused_and_nothing_changed(warm: WarmStart, training_set: TrainingSet) -> None:
    model = model_for(len(training_set.items), n_layers=1)
    before = {name: part.clone() for name, part in model.state_dict().items()}
    with pytest.raises(TrainingError, match=r"differs in blocks\.1\."):
        warm.load_into(model, training_set.items)
    for name, part in model.state_dict().items():
        assert part.equal(before[name])


def test_bundle_without_weights_is_refused(trained: tuple[Path, Any], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained[0], tmp_path / "bundle"))
    (copy / BundleFile.TRANSFORMER).unlink()
    with pytest.raises(BundleTampered, match="is named but missing"):
        read_warm_start(copy)
    manifest = verify(trained[0])
    files = {name: entry for name, entry in manifest.files.items() if name != BundleFile.TRANSFORMER}
    older = manifest.model_copy(update={"files": files})
    (copy / MANIFEST).write_text(older.model_dump_json())
    with pytest.raises(TrainingError, match=r"has no transformer\.npz to start from"):
        read_warm_start(copy)


def test_command_names_an_address_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--training-set", str(tmp_path), "--out", str(tmp_path / "bundle")]
    assert main([*options, "--warm-start", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err


def test_card_says_what_it_started_from(
    folder: Path, quick_settings: Settings, warm: WarmStart, tmp_path: Path
) -> None:
    half = dataclasses.replace(warm, learned_until_ms=0)
    settings = quick_settings.model_copy(update={"ranker": "off", "epochs": 1})
    report = train(folder, tmp_path / "bundle", settings=settings, warm=half)
    manifest = verify(Path(report["bundle"]))
    assert manifest.metrics["transformer"]["started_from"] == warm.bundle_id
    card = (tmp_path / "bundle" / BundleFile.MODEL_CARD).read_text()
    assert f"started from the weights of bundle {warm.bundle_id}" in card
