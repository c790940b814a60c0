"""The sharded item table: two processes of torchrun learn what one learns, each with half of the rows.

Run by torchrun as a module, this file is what each of the two processes does.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.errors import TrainingError
from stack.places import PROJECT_DIR
from tests.training.ranker_maker import N_ITEMS, SMALL, logits_of, make_items, make_model, make_rows
from training.ranker.scoring import load_ranker, predict_ranker, save_ranker
from training.ranker.trainer import RankerResult, RankerSchedule, RankerTrainer, train_ranker

N_STEPS = 8
SHAPE = dataclasses.replace(SMALL, dropout=0.2)
# All 60 rows are one mini-batch, so an epoch is a step; the rate is high enough for a wrong gradient to show.
SCHEDULE = RankerSchedule(batch_rows=1_000, learning_rate=0.02)
ROUNDING = SCHEDULE.learning_rate / 10
"""AdamW divides a gradient by its own size: one that is all but zero moves its weight by what rounding left of it, and
sums over two processes round otherwise than one's. A gradient that is missing would cost N_STEPS whole steps."""


def fit(checkpoint: Path | None = None) -> RankerResult:
    return train_ranker(
        make_rows(),
        make_rows(),
        SHAPE,
        items=make_items(),
        epochs=N_STEPS,
        seed=3,
        device="cpu",
        schedule=SCHEDULE,
        checkpoint=checkpoint,
    )


def losses(result: RankerResult) -> list[list[float]]:
    return [[epoch.training_loss, epoch.validation_loss] for epoch in result.curve]


def fit_and_look() -> tuple[RankerResult, dict[str, int]]:
    """Return also how many rows this process had of the id table, of its gradient and of AdamW's mean."""
    held = {}
    run_epoch = RankerTrainer.run_epoch

    def looked(self: RankerTrainer, epoch: int) -> float:
        loss = run_epoch(self, epoch)
        ids: Any = self.model.items.ids.weight
        parts = {"ids": ids, "gradient": ids.grad, "mean": self.optimizer.state[ids]["exp_avg"]}
        held.update({name: len(part.to_local()) for name, part in parts.items()})
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RankerTrainer, "run_epoch", looked)
        return fit(), held


def refused(folder: Path) -> str:
    with pytest.raises(TrainingError) as error:
        fit(folder / "checkpoint.pt")
    return str(error.value)


def learn_with_helpers(folder: Path) -> list[list[float]]:
    """Return the losses of a ranker that is handed out after one whose loss is no number; the others have none."""
    import torch.distributed as dist

    from training.ranker.processes import _hand_out, _help, train_together

    if dist.get_rank():
        _help()
        return []
    how: dict[str, Any] = {"items": make_items(), "epochs": N_STEPS, "seed": 3, "device": "cpu"}
    too_fast = dataclasses.replace(SCHEDULE, learning_rate=1e30)
    with pytest.raises(TrainingError, match="loss became nan"):
        train_together(make_rows(), make_rows(), SHAPE, checkpoint=None, schedule=too_fast, **how)
    result = train_together(make_rows(), make_rows(), SHAPE, checkpoint=folder / "no.pt", schedule=SCHEDULE, **how)
    _hand_out(None)
    return losses(result)


def rows_kept_of(n_rows: int) -> int:
    """Return how many rows of a table this process has."""
    import torch

    from training.ranker.sharding import RowShards, shard_items

    model = make_model()
    model.items.ids = torch.nn.Embedding(n_rows, SHAPE.n_dimensions)
    ids = shard_items(model, "cpu").items.ids
    return len(ids.weight.to_local() if isinstance(ids, RowShards) else ids.weight)


def be_one_of_two(folder: Path) -> None:
    """Write what this process saw; the first one writes the ranker too."""
    import torch.distributed as dist

    from training.ranker.processes import processes
    from training.ranker.sharding import shard_items

    with processes():
        result, held = fit_and_look()
        seen = {
            "losses": losses(result),
            "held": held,
            "few": [rows_kept_of(n) for n in (3, 4)],
            "chances": predict_ranker(shard_items(make_model(), "cpu"), make_rows()).tolist(),
            "refused": refused(folder),
            "helped": learn_with_helpers(folder),
        }
        (folder / f"{dist.get_rank()}.json").write_text(json.dumps(seen))
        if dist.get_rank() == 0:
            save_ranker(result.model, folder / "ranker.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which two processes have left what they saw."""
    folder = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "tests.training.ranker.test_sharding", str(folder)]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def seen(folder: Path) -> list[Any]:
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_each_step_has_the_loss_of_one_process(seen: list[Any]) -> None:
    alone = losses(fit())
    assert len(alone) == N_STEPS
    assert alone[-1][0] < alone[0][0] - 0.05
    for process in seen:
        np.testing.assert_allclose(process["losses"], alone, atol=1e-5)


@pytest.mark.slow
def test_each_process_holds_half_of_the_rows(seen: list[Any]) -> None:
    # N_ITEMS and the unknown item: 31 = 16 + 15.
    n_rows = N_ITEMS + 1
    assert [process["held"] for process in seen] == [
        dict.fromkeys(("ids", "gradient", "mean"), n) for n in (n_rows - n_rows // 2, n_rows // 2)
    ]


@pytest.mark.slow
def test_table_of_fewer_rows_than_processes_squared_stays_whole(seen: list[Any]) -> None:
    assert [process["few"] for process in seen] == [[3, 2], [3, 2]]


@pytest.mark.slow
def test_sharded_ranker_says_what_the_whole_one_says(seen: list[Any]) -> None:
    for process in seen:
        np.testing.assert_allclose(process["chances"], predict_ranker(make_model(), make_rows()), atol=1e-6)


@pytest.mark.slow
def test_saved_ranker_has_the_whole_table(folder: Path) -> None:
    loaded, alone = load_ranker(folder / "ranker.pt"), fit().model
    weights = loaded.state_dict()
    assert len(weights["items.ids.weight"]) == N_ITEMS + 1
    for name, expected in alone.state_dict().items():
        np.testing.assert_allclose(weights[name], expected, atol=ROUNDING, err_msg=name)
    np.testing.assert_allclose(logits_of(loaded, make_rows()), logits_of(alone, make_rows()), atol=ROUNDING)


@pytest.mark.slow
def test_model_checkpoint_is_refused(seen: list[Any]) -> None:
    for process in seen:
        assert "have no model checkpoint; leave" in process["refused"]


@pytest.mark.slow
def test_helpers_learn_what_they_are_given_also_after_a_ranker_that_failed(seen: list[Any], folder: Path) -> None:
    np.testing.assert_allclose(seen[0]["helped"], seen[0]["losses"], atol=1e-6)
    assert not (folder / "no.pt").exists()


def test_a_process_alone_keeps_the_model_as_it_is() -> None:
    from training.ranker.sharding import are_joined, gather_items, shard_items

    model = make_model()
    assert not are_joined()
    assert shard_items(model, "cpu") is model
    assert gather_items(model) is model
    assert type(model.items.ids.weight).__name__ == "Parameter"


if __name__ == "__main__":
    be_one_of_two(Path(sys.argv[1]))
