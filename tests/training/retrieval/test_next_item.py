"""Next-item: windows, ranks and figures against sums by hand, and that a model learns what follows what."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.errors import TrainingError
from training.costs import RunCosts
from training.retrieval.item_sequences import ItemSequences
from training.retrieval.next_item import Recipe, fit, make_windows, measure, rank_of, rank_targets, refit


def sequences(*items: list[int], n_items: int = 30) -> ItemSequences:
    users = tuple(str(place) for place in range(len(items)))
    return ItemSequences(users, tuple(str(row) for row in range(n_items)), tuple(np.array(own) for own in items))


def test_each_item_but_the_first_is_a_target_once() -> None:
    windows = make_windows(sequences(list(range(8)), [5], [3, 4]), length=3)
    assert windows.items.tolist() == [[5, 6, 7], [2, 3, 4], [0, 0, 1], [0, 0, 4]]
    assert windows.targets.tolist() == [[6, 7, 8], [3, 4, 5], [0, 0, 2], [0, 0, 5]]
    assert ((windows.actions > 0) == (windows.items > 0)).all()


def test_had_items_do_not_compete_and_ties_count_half() -> None:
    scores = np.array([9.0, 1.0, 5.0, 5.0, 7.0])
    assert rank_of(scores, 2, np.array([0])) == 1.5
    assert rank_of(scores, 2, np.array([0, 3, 4])) == 0
    assert rank_of(scores, 0, np.array([0])) == 0
    assert rank_of(scores, -1, np.array([0])) == np.inf


def test_item_that_training_never_saw_is_no_hit_in_the_smallest_catalogue() -> None:
    assert measure(np.array([rank_of(np.array([1.0, 2.0]), -1, np.array([0]))])) == dict.fromkeys(
        ("hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10"), 0.0
    )


def test_figures_are_the_sums_by_hand() -> None:
    figures = measure(np.array([0.0, 2.0, 7.0, 10.0]))
    assert figures["hr@1"] == 0.25
    assert figures["hr@5"] == 0.5
    assert figures["hr@10"] == 0.75
    assert figures["ndcg@5"] == pytest.approx((1 + 0.5) / 4)
    assert figures["ndcg@10"] == pytest.approx((1 + 0.5 + 1 / np.log2(9)) / 4)


@pytest.mark.slow
def test_model_learns_what_follows_what_and_the_same_seed_learns_the_same() -> None:
    from training.retrieval.sequence_model import Shape

    generator = np.random.default_rng(0)
    # After item i comes i + 1, around a ring.
    ring = [[(int(start) + step) % 30 for step in range(12)] for start in generator.integers(0, 30, 300)]
    data = sequences(*ring)
    recipe = Recipe(Shape(max_length=10), epochs=12)
    runs = [fit(data, recipe, patience=12, seed=1, device="cpu") for _ in range(2)]
    assert [f.ndcg_at_10 for f in runs[0].curve] == pytest.approx([f.ndcg_at_10 for f in runs[1].curve], abs=1e-6)
    targets = np.array([(own[-1] + 1) % 30 for own in ring])
    assert measure(rank_targets(runs[0].model, data, targets))["hr@1"] > 0.9
    again = refit(data, recipe, epochs=runs[0].best.epoch, seed=1, device="cpu")
    assert measure(rank_targets(again, data, targets))["hr@1"] > 0.9


def test_refit_learns_from_the_items_that_chose_the_epoch() -> None:
    from training.retrieval.sequence_model import Shape

    # Only the last step of all goes from 1 to 2.
    data = sequences(*([0, 3, 1, 2] for _ in range(150)), n_items=6)
    recipe = Recipe(Shape(max_length=4, dropout=0.0), epochs=10, learning_rate=1e-2)
    held_back, _ = data.held_back()
    last = np.full(150, 2)
    chosen = fit(data, recipe, patience=10, seed=1, device="cpu")
    again = refit(data, recipe, epochs=10, seed=1, device="cpu")
    assert len(chosen.curve) == 10
    assert rank_targets(again, held_back, last).max() == 0
    assert rank_targets(chosen.model, held_back, last).min() > 0


def small_run(**options: Any) -> dict[str, Any]:
    from training.retrieval.sequence_model import Shape

    generator = np.random.default_rng(0)
    data = sequences(*(generator.permutation(30)[:6].tolist() for _ in range(60)))
    return {
        "sequences": data,
        "recipe": Recipe(Shape(n_dimensions=16, n_layers=1, max_length=5), epochs=4),
        "seed": 1,
        "device": "cpu",
        **options,
    }


def assert_same_weights(one: Any, other: Any) -> None:
    weights = other.state_dict()
    assert len(weights) > 10
    for name, tensor in one.state_dict().items():
        assert (tensor == weights[name]).all(), name


def stop_before(epoch: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have the next run stop before an epoch, once; return the epochs that are begun, in all runs."""
    from training.retrieval.sequence_trainer import SequenceTrainer

    run_epoch, begun = SequenceTrainer.run_epoch, list[int]()

    def stopping(self: SequenceTrainer, number: int) -> None:
        begun.append(number)
        if number == epoch and begun.count(number) == 1:
            raise KeyboardInterrupt
        run_epoch(self, number)

    monkeypatch.setattr(SequenceTrainer, "run_epoch", stopping)
    return begun


def test_fit_that_was_stopped_goes_on_to_what_it_would_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    run, ticks = small_run(patience=4), count()
    whole = fit(**run)
    # Each look at the clock finds it a second later; a step whose operations are counted does not look.
    monkeypatch.setattr("training.throughput.COUNTED_STEPS", 1_000)
    monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)))
    begun, checkpoint = stop_before(3, monkeypatch), tmp_path / "new" / "fit.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(**run, checkpoint=checkpoint)
    torch.manual_seed(99)
    resumed = fit(**run, checkpoint=checkpoint)
    assert begun == [1, 2, 3, 3, 4]
    assert [(own.ndcg_at_10, own.hit_rate_at_10) for own in resumed.curve] == [
        (own.ndcg_at_10, own.hit_rate_at_10) for own in whole.curve
    ]
    assert_same_weights(resumed.model, whole.model)
    assert [own.seconds for own in resumed.curve] == [1, 2, 3, 4], "those of both processes"


def test_refit_that_was_stopped_goes_on_to_what_it_would_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run()
    whole = refit(**run, epochs=3)
    begun, checkpoint = stop_before(2, monkeypatch), tmp_path / "refit.pt"
    with pytest.raises(KeyboardInterrupt):
        refit(**run, epochs=3, checkpoint=checkpoint)
    assert_same_weights(refit(**run, epochs=3, checkpoint=checkpoint), whole)
    assert begun == [1, 2, 2, 3]


def test_fit_that_had_ended_is_not_run_again_and_other_settings_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, begun = tmp_path / "fit.pt", stop_before(0, monkeypatch)
    # What is held back is in no other history: no epoch is better than the first, and with patience for one ...
    data = sequences(*([3 * user, 3 * user + 1, 3 * user + 2] for user in range(10)))
    ended = fit(**small_run(patience=1, sequences=data), checkpoint=checkpoint)
    assert begun == [1, 2], "... the second is the last"
    assert_same_weights(fit(**small_run(patience=1, sequences=data), checkpoint=checkpoint).model, ended.model)
    assert begun == [1, 2]
    fit(**small_run(patience=1, sequences=data, seed=2), checkpoint=checkpoint)
    assert begun == [1, 2, 1, 2]


def test_costs_go_on_where_the_checkpoint_left_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, costs = RunCosts(), RunCosts()
    before.go_on_from({"seconds": 5_000.0, "cpu_seconds": 7_000.0, "peak_memory_mb": 1e6})
    fit(**small_run(patience=4), checkpoint=tmp_path / "fit.pt", costs=before)
    fit(**small_run(patience=4), checkpoint=tmp_path / "fit.pt", costs=costs)
    found = costs.to_dict()
    assert 5_000 <= found["seconds"] < 5_060
    assert 7_000 <= found["cpu_seconds"] < 7_060
    assert found["peak_memory_mb"] == 1e6


def test_model_without_numbers_is_refused_and_its_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from training.retrieval.sequence_trainer import SequenceTrainer

    run, checkpoint = small_run(patience=4), tmp_path / "fit.pt"
    whole, learn, kept = fit(**run), SequenceTrainer._step, list[bytes]()

    def breaking(self: SequenceTrainer, batch: Any) -> None:
        learn(self, batch)
        if self.rates.last_epoch == 2:  # an epoch has one step
            kept.append(checkpoint.read_bytes())
            with torch.no_grad():
                self.model.items.weight.fill_(1e30)

    monkeypatch.setattr(SequenceTrainer, "_step", breaking)
    with pytest.raises(TrainingError, match="scores of items are no numbers; the last good model stays"):
        fit(**run, checkpoint=checkpoint)
    assert [checkpoint.read_bytes()] == kept
    monkeypatch.setattr(SequenceTrainer, "_step", learn)
    assert_same_weights(fit(**run, checkpoint=checkpoint).model, whole.model)
