"""Training of the transformer: it learns, stops, goes on after a cut and says what it cannot learn from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.errors import TrainingError
from training.data.dataset import TrainingSet
from training.retrieval.sequence import choose_device, train_sequence
from training.retrieval.windows import Windows, make_windows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def windows(training_set: TrainingSet) -> Windows:
    return make_windows(training_set, start_ms=0, end_ms=training_set.split.stack_ms)


@pytest.fixture(scope="module")
def result(training_set: TrainingSet) -> Any:
    return train_sequence(training_set, epochs=2, seed=3, device="cpu")


def test_overfits_32_windows(training_set: TrainingSet, windows: Windows) -> None:
    import torch

    from training.retrieval.sequence_model import SequenceModel, Shape
    from training.retrieval.sequence_trainer import Schedule, SequenceTrainer

    torch.manual_seed(0)
    few = windows.take(np.arange(32))
    model = SequenceModel(len(training_set.items), Shape(dropout=0.0))
    trainer = SequenceTrainer(model, few, Schedule(epochs=120), seed=0)
    before = trainer.loss_of(few)
    for epoch in range(120):
        trainer.run_epoch(epoch)
    assert trainer.loss_of(few) < before / 2


def test_the_weights_of_the_best_epoch_are_kept(training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.retrieval.sequence_trainer import SequenceTrainer

    seen: list[np.ndarray] = []

    def judged(self: SequenceTrainer, windows: Windows) -> float:
        seen.append(self.model.items.weight.detach().numpy().copy())
        return [5.0, 3.0, 4.0][len(seen) - 1]

    monkeypatch.setattr(SequenceTrainer, "loss_of", judged)
    result = train_sequence(training_set, epochs=3, seed=3, device="cpu")
    assert (result.epochs, result.losses) == (2, [5.0, 3.0, 4.0])
    kept = result.model.items.weight.detach().numpy()
    np.testing.assert_array_equal(kept, seen[1])
    assert not np.array_equal(kept, seen[2])


def test_the_epoch_is_chosen_by_windows_of_all_users(
    training_set: TrainingSet, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.retrieval import sequence_trainer
    from training.retrieval.sequence_model import SequenceModel, Shape
    from training.retrieval.sequence_trainer import Schedule, SequenceTrainer

    trainer = SequenceTrainer(SequenceModel(len(training_set.items), Shape()), windows, Schedule(epochs=1), seed=0)
    monkeypatch.setattr(sequence_trainer, "MAX_JUDGED", 10)
    step = -(-len(windows) // 10)
    assert step > 1
    assert trainer.loss_of(windows) == pytest.approx(trainer.loss_of(windows.take(np.arange(0, len(windows), step))))
    assert trainer.loss_of(windows) != pytest.approx(trainer.loss_of(windows.take(np.arange(10))))


def test_loss_that_is_no_number_stops_the_run(training_set: TrainingSet, windows: Windows) -> None:
    from training.retrieval.sequence_model import SequenceModel
    from training.retrieval.sequence_trainer import Schedule, SequenceTrainer

    model = SequenceModel(len(training_set.items))
    trainer = SequenceTrainer(model, windows, Schedule(epochs=3, learning_rate=1e30), seed=3)
    with pytest.raises(TrainingError, match="loss became"):
        trainer.run_epoch(1)


@pytest.mark.parametrize("epochs", [1, 10])
def test_a_schedule_of_few_steps_can_be_run(training_set: TrainingSet, windows: Windows, epochs: int) -> None:
    from training.retrieval.sequence_model import SequenceModel
    from training.retrieval.sequence_trainer import Schedule, SequenceTrainer

    model = SequenceModel(len(training_set.items))
    trainer = SequenceTrainer(model, windows.take(np.arange(8)), Schedule(epochs), seed=1)
    for epoch in range(epochs):
        trainer.run_epoch(epoch)


@pytest.mark.parametrize("error", [KeyboardInterrupt, TrainingError])
def test_run_that_was_cut_goes_on_to_what_it_would_have_been(
    training_set: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    import torch

    from training.retrieval.sequence_trainer import SequenceTrainer

    def fit(checkpoint: Path | None = None) -> Any:
        return train_sequence(training_set, epochs=3, seed=3, device="cpu", checkpoint=checkpoint)

    whole, done = fit(), SequenceTrainer.run_epoch

    def cut(self: SequenceTrainer, epoch: int) -> None:
        if epoch == 3:
            raise error
        done(self, epoch)

    monkeypatch.setattr(SequenceTrainer, "run_epoch", cut)
    with pytest.raises(error):
        fit(tmp_path / "sequence.pt")
    asked: list[int] = []
    monkeypatch.setattr(SequenceTrainer, "run_epoch", lambda self, epoch: (asked.append(epoch), done(self, epoch)))
    torch.manual_seed(99)
    resumed = fit(tmp_path / "sequence.pt")
    assert asked == [3]
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-6)
    np.testing.assert_allclose(resumed.item_vectors(), whole.item_vectors(), atol=1e-6)
    finished = fit(tmp_path / "sequence.pt")
    assert asked == [3]
    assert finished.throughput == resumed.throughput != {}, "what the epochs cost, whenever they were run"


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        ("items", float("nan"), "weights items.weight are no numbers after epoch 2"),
        # its last row is for ages of years, which no loss here looks at
        ("gaps", float("inf"), "weights gaps.weight are no numbers after epoch 2"),
        ("items", 1e30, "validation loss became (nan|inf)"),
    ],
)
def test_last_step_of_an_epoch_that_breaks_the_weights_stops_the_run_and_leaves_the_checkpoint(
    training_set: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, value: float, message: str
) -> None:
    import torch

    from training.retrieval.sequence_trainer import SequenceTrainer

    def fit(checkpoint: Path | None = None) -> Any:
        return train_sequence(training_set, epochs=3, seed=3, device="cpu", checkpoint=checkpoint)

    whole, learn, run_epoch = fit(), SequenceTrainer._step, SequenceTrainer.run_epoch
    checkpoint, asked, kept = tmp_path / "sequence.pt", list[int](), list[bytes]()

    def breaking(self: SequenceTrainer, batch: Any) -> None:
        learn(self, batch)
        if self.rates.last_epoch == 2 * -(-self._per_epoch // self._batch_size):
            kept.append(checkpoint.read_bytes())
            with torch.no_grad():
                getattr(self.model, table).weight[-1] = value

    def noted(self: SequenceTrainer, epoch: int) -> None:
        asked.append(epoch)
        run_epoch(self, epoch)

    monkeypatch.setattr(SequenceTrainer, "_step", breaking)
    with pytest.raises(TrainingError, match=f"{message}; the last good model stays"):
        fit(checkpoint)
    assert [checkpoint.read_bytes()] == kept
    monkeypatch.setattr(SequenceTrainer, "_step", learn)
    monkeypatch.setattr(SequenceTrainer, "run_epoch", noted)
    resumed = fit(checkpoint)
    assert asked == [2, 3]
    assert resumed.losses == whole.losses
    assert (resumed.item_vectors() == whole.item_vectors()).all()


def test_sampled_loss_learns_too(training_set: TrainingSet, result: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.retrieval.sequence_trainer.FULL_SOFTMAX_ITEMS", 10)
    monkeypatch.setattr("training.retrieval.sequence_trainer.N_NEGATIVES", 40)
    sampled = train_sequence(training_set, epochs=2, seed=3, device="cpu")
    assert min(sampled.losses) == pytest.approx(min(result.losses), abs=0.3)


def test_log_without_two_liked_items_is_refused(training_set: TrainingSet) -> None:
    split = dataclasses.replace(training_set.split, stack_ms=training_set.split.start_ms + 60_000)
    with pytest.raises(TrainingError, match="stretches of a user's log"):
        train_sequence(dataclasses.replace(training_set, split=split), epochs=1, seed=1, device="cpu")


def test_cuda_is_not_made_up() -> None:
    import torch

    if torch.cuda.is_available():
        assert choose_device("auto") == "cuda"
    else:
        assert choose_device("auto") == "cpu"
        with pytest.raises(TrainingError, match="torch finds none"):
            choose_device("cuda")
