"""The benchmark command: what its report holds, and that a bad file stops it before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.benchmark import main

LINES = [(user, (user + step) % 12) for user in range(40) for step in range(6)]


def write(path: Path, lines: list[tuple[int, int]]) -> str:
    path.write_text("".join(f"{user} {item}\n" for user, item in lines))
    return str(path)


@pytest.mark.slow
def test_report_is_the_same_whether_the_last_items_come_apart_or_are_held_back(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.txt", LINES)
    train = write(tmp_path / "train.txt", [pair for place, pair in enumerate(LINES) if place % 6 < 5])
    test = write(tmp_path / "test.txt", LINES[5::6])
    reports = []
    for options in (["--train", whole], ["--train", train, "--test", test]):
        report = tmp_path / "report.json"
        assert main(["next-item", *options, "--report", str(report), "--epochs", "2", "--seed", "5"]) == 0
        reports.append(json.loads(report.read_text()))
    figures = [{name: value for name, value in report.items() if "@" in name} for report in reports]
    assert figures[0] == pytest.approx(figures[1], abs=1e-6)
    assert figures[0].keys() == {"hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10"}
    assert {"seconds", "cpu_seconds", "peak_memory_mb", "device", "curve"} <= reports[0].keys()


def test_bad_file_is_one_message_and_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.txt").write_text("1 2 3\n")
    report = tmp_path / "report.json"
    assert main(["next-item", "--train", str(tmp_path / "train.txt"), "--report", str(report)]) == 1
    assert "train.txt line 1: found '1 2 3', expected `user item`." in capsys.readouterr().err
    assert not report.exists()
