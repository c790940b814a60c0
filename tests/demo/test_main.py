"""The command's edge: one message and exit code 1, before anything was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.__main__ import main


def test_unknown_data_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECLOOP_VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("DATA", "netflix")
    assert main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("SourceError: data source 'netflix' is unknown; expected movielens, ")
    assert "Traceback" not in error
    assert not (tmp_path / "var" / "run").exists()


def test_help_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "make demo" in capsys.readouterr().out
