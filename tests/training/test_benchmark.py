"""The benchmark command: what its report holds, that bad input stops it at once, and that a stopped run goes on."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.training.devices import without_gpu
from training.benchmark import main

LINES = [(user, (user + step) % 12) for user in range(40) for step in range(6)]
TRAIN, LAST = [pair for place, pair in enumerate(LINES) if place % 6 < 5], LINES[5::6]
CUTS = ("hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10")


def write(path: Path, lines: Iterable[Iterable[Any]]) -> str:
    path.write_text("".join(" ".join(map(str, line)) + "\n" for line in lines))
    return str(path)


def run(folder: Path, *options: str) -> int:
    return main(["next-item", "--report", str(folder / "report.json"), "--epochs", "2", "--seed", "5", *options])


def report_of(folder: Path, *options: str) -> dict[str, Any]:
    assert run(folder, *options) == 0
    assert not (folder / "report.json.checkpoints").exists()
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def figures(report: dict[str, Any]) -> list[float]:
    return [report[cut] for cut in CUTS]


@pytest.fixture
def train(tmp_path: Path) -> str:
    return write(tmp_path / "train.txt", TRAIN)


@pytest.mark.slow
def test_report_is_the_same_in_every_form_of_the_held_back_items(train: str, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.txt", LINES)
    by_user = write(tmp_path / "by-user.txt", reversed(LAST))
    in_order = write(tmp_path / "in-order.txt", [[item] for _, item in LAST])
    packed = tmp_path / "in-order.txt.gz"
    packed.write_bytes(gzip.compress(Path(in_order).read_bytes()))
    forms = [["--train", whole], *(["--train", train, "--test", test] for test in (by_user, in_order, str(packed)))]
    reports = [report_of(tmp_path, *options) for options in forms]
    assert all(figures(report) == figures(reports[0]) for report in reports)
    assert {"seconds", "cpu_seconds", "peak_memory_mb", "device", "curve"} <= reports[0].keys()
    counts = [(report["users"], report["users_ranked"], report["targets_unseen"]) for report in reports]
    assert counts == [(40, 40, 0)] * 4


@pytest.mark.slow
def test_users_who_are_not_named_are_not_ranked_and_unseen_items_stay_in_the_denominator(
    train: str, tmp_path: Path
) -> None:
    some = report_of(tmp_path, "--train", train, "--test", write(tmp_path / "some.txt", LAST[:10]))
    unseen = [*LAST[:10], *((user, "never") for user, _ in LAST[10:30])]
    more = report_of(tmp_path, "--train", train, "--test", write(tmp_path / "more.txt", unseen))
    assert (some["users"], some["users_ranked"], some["targets_unseen"]) == (40, 10, 0)
    assert (more["users"], more["users_ranked"], more["targets_unseen"]) == (40, 30, 20)
    assert some["hr@10"] > 0
    # Twenty misses beside the same ten ranks.
    assert figures(more) == pytest.approx([10 / 30 * figure for figure in figures(some)])


@pytest.mark.parametrize(
    ("lines", "test", "message"),
    [
        (["1 2 3"], None, "train.txt line 1: found '1 2 3', expected `user item`."),
        (["1 5", "2 5"], None, "has 2 users, and the longest history has 1 items; expected one with 4 at least"),
        (["1 5", "1 6", "1 7"], None, "one with 4 at least: two to learn from, one to choose the epoch, and without"),
        (["1 5", "1 6", "2 5"], ["1 7"], "the longest history has 2 items; expected one with 3 at least"),
        (["1 5", "1 6", "1 7", "2 5"], ["5"], "test.txt has 1 items, the training file has 2 users; expected one item"),
        (["1 5", "1 6", "1 7"], ["2 5"], "test.txt line 1: user 2 is not in the training file"),
        (["1 5", "1 6", "1 7"], ["1 5", "1 6"], "test.txt line 2: user 1 has an item already, 5. Keep one."),
    ],
)
def test_bad_file_is_one_message_and_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], test: list[str] | None, message: str
) -> None:
    options = ["--train", write(tmp_path / "train.txt", [[line] for line in lines])]
    if test is not None:
        options += ["--test", write(tmp_path / "test.txt", [[line] for line in test])]
    assert run(tmp_path, *options) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("report*"))


@pytest.mark.parametrize("broken", ["train", "test"])
def test_damaged_archive_is_one_message(
    train: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    path = tmp_path / "damaged.txt.gz"
    packed = gzip.compress(Path(train).read_bytes())
    path.write_bytes(packed[:60] + bytes([packed[60] ^ 255]) + packed[61:])
    options = {"train": ["--train", str(path)], "test": ["--train", train, "--test", str(path)]}
    assert run(tmp_path, *options[broken]) == 1
    assert "SourceError: " + str(path) + " cannot be read to its end" in capsys.readouterr().err


def test_report_that_could_not_be_written_is_said_before_the_files_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "mistyped", "--train", str(tmp_path / "train.txt")) == 1
    assert "mistyped is no folder. Make it first." in capsys.readouterr().err


def test_untrained_model_is_refused(train: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, "--train", train, "--epochs", "0")
    assert "--epochs is 0; expected 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "planned"),
    [([], 30), (["--size", "base"], 30), (["--size", "large"], 40), (["--size", "large", "--epochs", "3"], 3)],
)
def test_each_size_plans_its_own_epochs(
    options: list[str], planned: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("training.benchmark.run_next_item", lambda args, *_: asked.append(args.epochs) or {})
    assert main(["next-item", "--train", "any.txt", "--report", str(tmp_path / "report.json"), *options]) == 0
    assert asked == [planned]


def test_seed_that_is_none_is_said_before_the_files_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--train", str(tmp_path / "missing.txt"), "--seed", "-1") == 1
    assert "--seed is -1: Input should be greater than or equal to 0" in capsys.readouterr().err


@without_gpu
def test_device_is_the_settings_one_where_no_option_names_it(
    train: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECLOOP_DEVICE", "cuda")
    assert run(tmp_path, "--train", train) == 1
    assert "device cuda was asked for" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("stopped_at", "epochs"), [(2, [1, 2, 2, 1, 2]), (4, [1, 2, 1, 2, 2])])
def test_run_that_was_stopped_ends_with_the_report_it_would_have_had(
    train: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int, epochs: list[int]
) -> None:
    from training.retrieval.sequence_trainer import SequenceTrainer

    options = ["--train", train, "--refit"]
    whole = report_of(tmp_path, *options)
    (tmp_path / "report.json").unlink()
    run_epoch, begun = SequenceTrainer.run_epoch, list[int]()

    def stopping(self: SequenceTrainer, epoch: int) -> None:
        begun.append(epoch)
        if len(begun) == stopped_at:
            raise KeyboardInterrupt
        run_epoch(self, epoch)

    monkeypatch.setattr(SequenceTrainer, "run_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, *options)
    assert list((tmp_path / "report.json.checkpoints").iterdir())
    assert not (tmp_path / "report.json").exists()
    resumed = report_of(tmp_path, *options)
    # Two epochs choose, two learn anew; the one that was stopped is begun again, no other.
    assert begun == epochs
    told = [*CUTS, "users_ranked", "targets_unseen", "seed", "refit"]
    assert [resumed[name] for name in told] == [whole[name] for name in told]
    assert [epoch["ndcg_at_10"] for epoch in resumed["curve"]] == [epoch["ndcg_at_10"] for epoch in whole["curve"]]
