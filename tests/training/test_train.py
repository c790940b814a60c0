"""Training end to end on the synthetic log: the bundle, its report, its judgement, and runs that were cut off.

Run as a module, this file is a training that is killed.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.determinism import COSTS, compare
from recloop.bundles import BundleFile, verify
from recloop.clock import to_ms
from recloop.golden import check_golden
from recloop.labels import Head
from recloop.ranker import RANKER_COLUMNS
from recloop.settings import PROJECT_DIR, Settings
from recloop.training_set import TrainingFile
from tests.training.shown_log import DAY, FIRST_DAY, shown_log, write_log
from tests.training.synthetic import N_ITEMS
from training.bundle import N_GOLDEN
from training.ranker.trainer import RankerTrainer
from training.retrieval.sequence_trainer import Schedule, SequenceTrainer
from training.scoring import load_bundle
from training.stacking.pooled import RANKER_FORMS
from training.train import main

pytestmark = pytest.mark.slow


def test_bundle_is_sealed_and_reported(trained: tuple[Path, dict[str, Any]]) -> None:
    bundle, report = trained
    manifest = verify(bundle)
    assert report["bundle"] == str(bundle)
    assert report["bundle_id"] == manifest.bundle_id
    assert report["offline"] == manifest.metrics["offline"]
    assert set(manifest.heads) == {Head.CLICK, Head.LIKE, Head.HIDE}
    assert {"rows_in", "rows_out", "seconds", "peak_memory_mb"} <= report.keys()
    assert json.loads(json.dumps(report)) == report
    assert not list(bundle.parent.glob("*.part"))


def test_bundle_says_what_its_ranker_and_its_parts_are_worth(trained: tuple[Path, dict[str, Any]]) -> None:
    manifest = verify(trained[0])
    assert BundleFile.RANKER in manifest.files
    assert manifest.ranking_features[-len(RANKER_COLUMNS) :] == RANKER_COLUMNS
    assert manifest.metrics["ranker"]["served"] == "transformer"
    parts = manifest.metrics["parts"]
    assert {"collaborative", "sequence", "statistics", "ranker"} <= parts.keys()
    # what is done follows what was done before: without any word of the history there is little left
    assert parts["base models"]["click"]["auc"] > 0.005
    card = (trained[0] / BundleFile.MODEL_CARD).read_text()
    assert "## The ranker" in card
    assert "## What is lost without a part" in card


def test_manifest_says_what_the_training_cost(trained: tuple[Path, dict[str, Any]]) -> None:
    costs = {name: verify(trained[0]).metrics[name] for name in COSTS}
    parts = {"read", "collaborative", "sequence", "content", "rows", "stack", "ranker", "evaluate"}
    assert costs["seconds"].keys() == parts
    assert sum(costs["seconds"].values()) <= trained[1]["seconds"]
    assert 0 < costs["peak_memory_mb"] <= trained[1]["peak_memory_mb"]
    assert costs["throughput"].keys() == {"transformer", "ranker"}
    for rates in costs["throughput"].values():
        assert rates.keys() == {"samples_per_s", "gflops_per_s"}
        assert min(rates.values()) > 0


def test_model_beats_popularity_where_there_is_a_pattern(trained: tuple[Path, dict[str, Any]]) -> None:
    offline = trained[1]["offline"]
    assert offline["model"]["ndcg_at_10"] > offline["popularity"]["ndcg_at_10"] > 0
    assert offline["ndcg_difference_interval"][0] > 0
    assert trained[1]["heads"]["hide"]["auc"] > 0.7


def test_killed_training_goes_on_to_the_bundle_it_would_have_been(
    trained: tuple[Path, dict[str, Any]],
    folder: Path,
    quick_settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECLOOP_RANKER_EPOCHS", str(quick_settings.ranker_epochs))
    options = ["--training-set", str(folder), "--out", str(tmp_path / "bundle")]
    for name in ("epochs", "device", "seed", "ranker"):
        options += [f"--{name}", str(getattr(quick_settings, name))]
    command = [sys.executable, "-m", "tests.training.test_train", *options]
    killed = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.checkpoints"}
    caplog.set_level("INFO")
    assert main(options) == 0
    assert "the transformer goes on from the checkpoint" in caplog.text
    assert_same_bundle(trained[0], tmp_path / "bundle")
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}


def train_killed() -> None:
    """Train as the command does, in a process that ends when the transformer has gone through its second epoch."""
    run_epoch = SequenceTrainer.run_epoch

    def killed(self: SequenceTrainer, epoch: int) -> None:
        run_epoch(self, epoch)
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SequenceTrainer, "run_epoch", killed)
        main()


def test_labels_of_one_class_are_refused_and_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "set"))
    table = pq.read_table(broken / TrainingFile.EXAMPLES)
    for name in Head:
        zeros = pa.array(np.zeros(len(table), dtype=np.int32))
        table = table.set_column(table.column_names.index(name), name, zeros)
    pq.write_table(table, broken / TrainingFile.EXAMPLES)
    monkeypatch.setattr("training.stacking.gather.sample_requests", lambda *args, **kwargs: [])
    options = ["--training-set", str(broken), "--out", str(tmp_path / "bundle"), "--epochs", "1", "--device", "cpu"]
    assert main(options) == 1
    assert "no head can be learned: click has 0 + 0 positives" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


@pytest.fixture(scope="module")
def concat(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose ranker joins the candidate to every action."""
    out = tmp_path_factory.mktemp("concat") / "bundle"
    log, logger = logging.FileHandler(out.with_name("log")), logging.getLogger("training")
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECLOOP_RANKER_EPOCHS", "1")
        assert main([*concat_options(folder), "--out", str(out)]) == 0
    logger.removeHandler(log)
    logger.setLevel(logging.NOTSET)
    return out


def concat_options(folder: Path) -> list[str]:
    forms = ["--ranker", "transformer", "--fusion", "concat"]
    return ["--training-set", str(folder), *forms, "--epochs", "1", "--device", "cpu", "--seed", "5"]


def test_bundle_of_the_other_fusion_is_served(concat: Path) -> None:
    import onnx

    weights = {weight.name for weight in onnx.load(concat / BundleFile.RANKER).graph.initializer}
    assert any(name.startswith("sequence.transformer") for name in weights)
    assert not any(name.startswith("sequence.ask") for name in weights), "that is the cross attention's"
    assert verify(concat).metrics["ranker"]["fusion"] == "concat"
    assert check_golden(concat, load_bundle(concat)) == N_GOLDEN + 1


def test_processes_that_share_the_ranker_make_the_bundle_of_one(concat: Path, folder: Path, tmp_path: Path) -> None:
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*two, "-m", "training.train", *concat_options(folder), "--out", str(tmp_path / "bundle")]
    environment = os.environ | {"RECLOOP_RANKER_EPOCHS": "1"}
    done = subprocess.run(command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    log = done.stderr
    # The items and the unknown one, 61 rows = 31 + 30.
    assert set(re.findall(r"process (\d) holds (\d+) of the (\d+) rows of the item table", log)) == {
        ("0", str(N_ITEMS // 2 + 1), str(N_ITEMS + 1)),
        ("1", str(N_ITEMS // 2), str(N_ITEMS + 1)),
    }
    alone = losses((concat.parent / "log").read_text())
    assert len(alone) > 2
    np.testing.assert_allclose(losses(log), np.repeat(alone, 2), atol=1e-3)
    differ = {name for name, same in compare(concat, tmp_path / "bundle")["same_bytes"].items() if not same}
    of_the_ranker = {BundleFile.RANKER, BundleFile.CALIBRATION, BundleFile.GOLDEN}
    assert differ <= {*of_the_ranker, BundleFile.MODEL_CARD}, "one of them did all else"
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}


def losses(log: str) -> list[float]:
    """Return the ranker's losses, each as often as a process says it."""
    found = re.findall(r"ranker epoch \d of \d: training ([\d.]+), validation ([\d.]+|None)", log)
    return sorted(float(loss) for epoch in found for loss in epoch if loss != "None")


FEW_TREES = ("training.stacking.stack.MAX_ROUNDS", 20)
"""Trees are grown six times below, and what they are good for is not asked."""


@pytest.fixture(scope="module")
def on_source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A bundle trained on a source in one go, and the options that ask for it, all but `--out`."""
    folder = tmp_path_factory.mktemp("on-source")
    data = f"events:{write_log(folder / 'log', shown_log())}"
    until = str((FIRST_DAY + 2 * DAY).date())
    options = ["--data", data, "--until", until, "--epochs", "1", "--seed", "5", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*FEW_TREES)
        assert main([*options, "--out", str(folder / "bundle")]) == 0
    return folder / "bundle", options


def test_a_source_is_trained_on_to_the_end_of_a_day(on_source: tuple[Path, list[str]]) -> None:
    out = on_source[0]
    manifest = verify(out)
    end_ms = to_ms(FIRST_DAY + 3 * DAY)
    assert manifest.metrics["learned_until_ms"] == end_ms, "trees and statistics know the holdout"
    recommender = load_bundle(out)
    assert recommender.extras is not None
    assert recommender.extras.statistics.until_ms == end_ms
    assert "made anew" in (out / BundleFile.MODEL_CARD).read_text(encoding="utf-8")
    ranker = manifest.metrics["ranker"]
    helped = [check["form"] for check in ranker["checks"] if check["helps"]]
    assert ranker["served"] == (helped[-1] if helped else None)
    assert (ranker["served"] is not None) == (BundleFile.RANKER in manifest.files)
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(f"{out.name}.")] == []


def test_failure_after_the_judgement_leaves_the_earlier_bundle_and_the_next_run_goes_on(
    on_source: tuple[Path, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole, options = on_source
    monkeypatch.setattr(*FEW_TREES)
    out = earlier_bundle(tmp_path / "bundle")
    run_epoch = RankerTrainer.run_epoch

    def poisoned(self: RankerTrainer, epoch: int) -> float:
        if epoch == 2:
            self.model.heads.bias.data.fill_(np.nan)
        return run_epoch(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(RankerTrainer, "run_epoch", poisoned)
        assert main([*options, "--out", str(out)]) == 1
    assert "TrainingError: the ranker's training loss became nan in epoch 2, step 1" in capsys.readouterr().err
    assert contents(out) == EARLIER
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "bundle.checkpoints"}

    caplog.set_level("INFO")
    assert main([*options, "--out", str(out)]) == 0
    assert "the transformer goes on from the checkpoint" in caplog.text
    assert "ranker goes on after epoch 1 of the checkpoint" in caplog.text
    decisions = re.findall(r"the ranker (\w+) is (?:kept|left out): over \w+ \w+ auc ", caplog.text)
    assert decisions == list(RANKER_FORMS), "decided once, on all rows"
    assert_same_bundle(whole, out)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}


def test_loss_that_is_no_number_ends_the_command_and_leaves_the_earlier_bundle(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.retrieval.sequence.Schedule", partial(Schedule, learning_rate=1e30))
    out = earlier_bundle(tmp_path / "bundle")
    assert main(["--training-set", str(folder), "--out", str(out), "--device", "cpu"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match("TrainingError: the transformer's .*loss became nan.* lower the learning rate", said)
    assert contents(out) == EARLIER
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}


EARLIER = {"manifest.json": b"{}", "items.json": b"[]"}


def earlier_bundle(folder: Path) -> Path:
    """Write what a training finds where its bundle is to be; it only has to be there still."""
    folder.mkdir()
    for name, content in EARLIER.items():
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same_bundle(one: Path, other: Path) -> None:
    """Hold two bundles together byte by byte; the model card names the bundle and the moment it was made."""
    found = compare(one, other)
    assert {name for name, same in found["same_bytes"].items() if not same} <= {BundleFile.MODEL_CARD}
    assert len(found["same_bytes"]) > 10
    assert found["metrics_apart_at_most"] == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--data", "events:x"], "--data and --until go together"),
        (["--training-set", "x", "--until", "2024-03-01"], "--data and --until go together"),
        (["--until", "2024-03-01"], "one of the arguments --training-set --data is required"),
        (["--data", "events:x", "--until", "soon"], "expected a date as 2022-05-04"),
    ],
)
def test_a_source_needs_its_end_and_a_folder_has_one(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*given, "--out", "never"])
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("option", "found", "least"), [("--seed", -1, 0), ("--epochs", 0, 1)])
def test_option_that_is_out_of_range_is_said_before_anything_is_read(
    option: str, found: int, least: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--training-set", str(tmp_path / "missing"), "--out", str(tmp_path / "bundle"), option, str(found)]
    assert main(options) == 1
    said = f"{option} is {found}: Input should be greater than or equal to {least}. Correct it."
    assert capsys.readouterr().err.splitlines()[-1] == f"ConfigurationError: {said}"


def test_a_source_without_events_before_the_end_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"events:{write_log(tmp_path / 'log', shown_log())}"
    assert main(["--data", data, "--until", "2001-01-01", "--out", str(tmp_path / "bundle")]) == 1
    assert "holds events from 2024-03-01" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


if __name__ == "__main__":
    train_killed()
