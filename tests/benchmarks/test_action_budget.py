"""What fewer actions cost a ranker: each rule at each budget, beside the whole history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import action_budget
from tests.training.shown_log import PER_DAY, shown_log, write_log


@pytest.mark.slow
def test_report_has_each_rule_at_each_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("FEW_RESAMPLES", 20), ("N_TIMED", 20), ("N_REPEATS", 1)):
        monkeypatch.setattr(action_budget, name, few)
    for name in ("RECLOOP_EPOCHS", "RECLOOP_RANKER_EPOCHS"):
        monkeypatch.setenv(name, "1")
    source, report = write_log(tmp_path / "log", shown_log()), tmp_path / "report.json"
    days = ["--until", "2024-03-27", "--from", "2024-03-28", "--to", "2024-03-29"]
    assert action_budget.main(["--data", f"events:{source}", *days, "--out", str(report), "--seed", "5"]) == 0
    found = json.loads(report.read_text())
    assert found["command"].startswith("python -m benchmarks.action_budget --data events:DIR --until 2024-03-27")
    assert found["rows"]["judged"] == 2 * PER_DAY
    assert found["whole"]["history_bytes"] == 100 * (4 + 3)
    for n in ("10", "25", "50"):
        assert set(found[n]) == {"newest", "by click", "by like"}
        assert [own["history_bytes"] for own in found[n].values()] == [int(n) * 7] * 3
        assert found[n]["by click"]["click"]["auc"][0] == pytest.approx(
            found["whole"]["click"]["auc"][0] + found[n]["by click"]["click"]["auc_less_whole"][0], abs=2e-5
        )
