from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration.callbacks import alert


def test_failed_task_leaves_one_line_that_says_which_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECLOOP_VAR_DIR", str(tmp_path))
    task = SimpleNamespace(dag_id="train_model", task_id="promote", run_id="manual", try_number=1, log_url="http://log")
    for reason in ("no disk", "no network"):
        alert({"task_instance": task, "exception": RuntimeError(reason)})
    lines = [json.loads(line) for line in (tmp_path / "log" / "alerts.jsonl").read_text().splitlines()]
    assert [(line["dag"], line["task"], line["reason"]) for line in lines] == [
        ("train_model", "promote", "no disk"),
        ("train_model", "promote", "no network"),
    ]
