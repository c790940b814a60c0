"""What is locked: the environments of setup.cfg and the programs for machines that lack them."""

from __future__ import annotations

import pytest

from stack.lock import PROGRAMS, main
from stack.places import REQUIREMENTS_DIR, environments


def test_every_lock_file_has_its_source_and_the_other_way_round() -> None:
    assert sorted(file.stem for file in REQUIREMENTS_DIR.glob("*.txt")) == sorted([*environments(), *PROGRAMS])


def test_unknown_name_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cor"])
    assert "no lock file is called 'cor'; there are core, streaming" in capsys.readouterr().err
