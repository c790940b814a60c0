"""All benchmarks of a running stack: each is there, the chosen ones run, and one that fails is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import run
from recloop.settings import PROJECT_DIR


def test_every_name_is_a_benchmark() -> None:
    assert run.BENCHMARKS
    assert all((PROJECT_DIR / "benchmarks" / f"{name}.py").is_file() for name in run.BENCHMARKS)


def test_benchmark_that_fails_is_named_and_the_others_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # In an empty folder no demo has left a report.
    monkeypatch.setenv("RECLOOP_VAR_DIR", str(tmp_path))
    assert run.main(["demo", "demo"]) == 1
    out, err = capfd.readouterr()
    assert out.splitlines() == ["== demo", "== demo"]
    assert err.splitlines()[-1] == "Failed: demo, demo."
    assert "report.json is not there; `make demo` writes it." in err


def test_all_run_unless_some_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(run, "run_benchmark", lambda name: not ran.append(name))
    assert run.main([]) == run.main(["serving"]) == 0
    assert ran == [*run.BENCHMARKS, "serving"]


def test_unknown_name_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["sering"])
    assert "invalid choice: 'sering' (choose from 'demo', 'serving', 'streaming'" in capsys.readouterr().err
