"""Training of the ranker: it learns, stops, goes on after a cut and says where it broke."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.errors import TrainingError
from tests.training.ranker_maker import SMALL, make_items, make_rows
from training.ranker.batches import user_batches
from training.ranker.rows import Fusion, RankerShape
from training.ranker.scoring import predict_ranker
from training.ranker.trainer import (
    PIECE_ROWS,
    Epoch,
    RankerSchedule,
    RankerTrainer,
    has_settled,
    train_ranker,
)

pytestmark = pytest.mark.slow

SHAPE = dataclasses.replace(SMALL, dropout=0.2)
SCHEDULE = RankerSchedule(batch_rows=20)


def fit(*, epochs: int = 3, shape: RankerShape = SHAPE, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"items": make_items(), "seed": 3, "device": "cpu", "schedule": SCHEDULE, **changes}
    training, validation = arguments.pop("training", make_rows()), arguments.pop("validation", make_rows(seed=9))
    return train_ranker(training, validation, shape, epochs=epochs, **arguments)


def weights(result: Any) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in result.model.state_dict().items()}


def assert_same_model(one: Any, other: Any) -> None:
    assert len(weights(one)) > 20
    for name, tensor in weights(one).items():
        np.testing.assert_allclose(weights(other)[name], tensor, atol=1e-6, err_msg=name)


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    difference = scores[labels == 1][:, None] - scores[labels == 0][None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


@pytest.mark.parametrize("form", [*({"fusion": fusion} for fusion in Fusion), {"use_transformer": False}], ids=str)
def test_overfits_32_rows(form: dict[str, Any]) -> None:
    rows = make_rows(32)
    shape = dataclasses.replace(SMALL, window_mask_hours=0, **form)
    schedule = RankerSchedule(batch_rows=32, learning_rate=0.01, weight_decay=0.0)
    result = fit(epochs=80, shape=shape, training=rows, validation=rows, schedule=schedule)
    chances = predict_ranker(result.model, rows)
    assert [auc(rows.labels[:, head], chances[:, head]) for head in range(3)] == [1.0, 1.0, 1.0]


def test_head_that_no_row_knows_stays_as_it_began() -> None:
    import torch

    from training.ranker.model import new_ranker

    rows = make_rows()
    labels = rows.labels.copy()
    labels[:, 1] = np.nan
    rows = dataclasses.replace(rows, labels=labels)
    torch.manual_seed(3)
    began = new_ranker(rows, make_items(), SHAPE).heads.weight
    learned = fit(training=rows, schedule=RankerSchedule(batch_rows=20, weight_decay=0.0)).model.heads.weight
    moved = (learned - began).abs().amax(dim=1)
    assert moved[1] == 0
    assert (moved[[0, 2]] > 1e-4).all()


def test_curve_has_an_epoch_each_and_the_best_weights_are_kept() -> None:
    result = fit()
    losses = [epoch.validation_loss for epoch in result.curve]
    assert len(losses) == 3
    assert result.best_epoch == int(np.argmin(losses)) + 1
    trainer = RankerTrainer(result.model, make_rows(), SCHEDULE, epochs=1, device="cpu", seed=0)
    assert trainer.loss_of(make_rows(seed=9)) == pytest.approx(min(losses), abs=1e-6)


def test_training_ends_after_two_epochs_without_a_new_best() -> None:
    curve = [Epoch(0.0, loss, 0.0) for loss in (3.0, 2.0, 2.1, 2.0)]
    assert [has_settled(curve[:n]) for n in range(5)] == [False, False, False, False, True]
    # Labels are by chance, so what is learned soon does harm.
    result = fit(epochs=60, schedule=RankerSchedule(batch_rows=20, learning_rate=0.02))
    assert len(result.curve) == result.best_epoch + 2


@pytest.mark.parametrize("steps", [0, 2])
def test_run_that_was_cut_goes_on_to_what_it_would_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    import torch

    whole, checkpoint = fit(), tmp_path / "ranker.pt"
    done = RankerTrainer.run_epoch

    def cut(self: RankerTrainer, epoch: int) -> float:
        if epoch == 1:
            return done(self, epoch)
        for batch in user_batches(self._rows.users, 20)[:steps]:
            self._loss(self._resident.take(batch), None).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        raise KeyboardInterrupt

    monkeypatch.setattr(RankerTrainer, "run_epoch", cut)
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint=checkpoint)
    monkeypatch.setattr(RankerTrainer, "run_epoch", done)
    torch.manual_seed(99)
    resumed = fit(checkpoint=checkpoint)
    assert_same_model(whole, resumed)
    assert [epoch.training_loss for epoch in resumed.curve] == pytest.approx(
        [epoch.training_loss for epoch in whole.curve], abs=1e-6
    )


def test_finished_run_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = fit(checkpoint=tmp_path / "ranker.pt")
    monkeypatch.delattr(RankerTrainer, "run_epoch")
    again = fit(checkpoint=tmp_path / "ranker.pt")
    assert again.curve == finished.curve
    assert again.throughput == finished.throughput != {}
    assert_same_model(finished, again)


def test_checkpoint_of_other_rows_is_not_gone_on_from(tmp_path: Path) -> None:
    fit(checkpoint=tmp_path / "ranker.pt", epochs=1)
    other = make_rows(seed=5)
    assert_same_model(fit(training=other), fit(training=other, checkpoint=tmp_path / "ranker.pt"))


def test_loss_that_is_no_number_names_its_place_and_leaves_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "ranker.pt"
    fit(checkpoint=checkpoint, epochs=1)
    before = checkpoint.read_bytes()
    rates = RankerSchedule(batch_rows=20, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"training loss became nan in epoch 1, step 2; the last good model stays"):
        fit(checkpoint=checkpoint, schedule=rates)
    assert checkpoint.read_bytes() == before
    monkeypatch.setattr(RankerTrainer, "loss_of", lambda *_: float("inf"))
    with pytest.raises(TrainingError, match="validation loss became inf after epoch 1"):
        fit()


def test_a_last_step_that_broke_the_weights_is_noticed_where_nothing_is_held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    learn = RankerTrainer._step

    def breaking(self: RankerTrainer, *args: Any) -> float:
        loss = learn(self, *args)
        with torch.no_grad():
            self.model.heads.weight[0] = float("inf")
        return loss

    monkeypatch.setattr(RankerTrainer, "_step", breaking)
    # One step in all: its loss is that of the weights before it.
    with pytest.raises(TrainingError, match=r"weights heads.weight are no numbers after epoch 1; the last good model"):
        fit(epochs=1, validation=None, schedule=RankerSchedule(batch_rows=10_000))


@pytest.mark.parametrize("empty", ["training", "validation"])
def test_nothing_to_learn_from_is_refused(empty: str) -> None:
    with pytest.raises(TrainingError, match="needs some of both"):
        fit(**{empty: make_rows().take(np.empty(0, dtype=np.int64))})


def test_ids_and_codes_decay_ten_times_as_fast() -> None:
    from training.ranker.model import new_ranker

    model = new_ranker(make_rows(), make_items(), SHAPE)
    trainer = RankerTrainer(model, make_rows(), RankerSchedule(weight_decay=0.02), epochs=1, device="cpu", seed=0)
    tables, others = trainer.optimizer.param_groups
    assert (tables["weight_decay"], others["weight_decay"]) == (0.2, 0.02)
    assert any(table is model.items.ids.weight for table in tables["params"])
    assert len(tables["params"]) + len(others["params"]) == len(list(model.parameters()))


def test_time_window_mask_is_drawn_for_each_request_up_to_its_hours() -> None:
    from training.ranker.model import new_ranker

    def drawn(hours: float) -> Any:
        model = new_ranker(make_rows(), make_items(), dataclasses.replace(SHAPE, window_mask_hours=hours))
        trainer = RankerTrainer(model, make_rows(), SCHEDULE, epochs=1, device="cpu", seed=0)
        return trainer._youngest(4_000, np.random.default_rng(0))

    # 24 h are 86,400 s, in bucket 17 from 65,536 s on: (86,400 - 65,536) / 86,400 of the draws.
    buckets = drawn(24.0)
    assert (buckets.min() < 12, buckets.max().item()) == (True, 17)
    assert (buckets == 17).float().mean().item() == pytest.approx(20_864 / 86_400, abs=0.03)
    assert drawn(1.0).max().item() == 12
    assert drawn(0) is None


def test_each_epoch_has_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noted(users: Any, n_rows: int, generator: Any = None) -> Any:
        batches = user_batches(users, n_rows, generator)
        seen.extend([batches[0].tolist()] if generator is not None else [])
        return batches

    monkeypatch.setattr("training.ranker.trainer.user_batches", noted)
    fit(epochs=2)
    assert len(seen) == 2
    assert seen[0] != seen[1]


def test_gradients_of_pieces_add_up_to_those_of_the_mini_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = dataclasses.replace(SMALL, window_mask_hours=0)
    losses = [epoch.training_loss for epoch in fit(epochs=4, shape=shape).curve]
    monkeypatch.setitem(PIECE_ROWS, "cpu", 3)
    in_pieces = [epoch.training_loss for epoch in fit(epochs=4, shape=shape).curve]
    assert in_pieces == pytest.approx(losses, rel=1e-4)
    assert max(losses) - min(losses) > 0.01
