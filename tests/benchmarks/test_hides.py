"""The hide and the like head beside the floor, as `benchmarks.hides` measures them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.hides import main
from recloop.events import Action, Event
from tests.training.shown_log import DAY, FIRST_DAY, PER_DAY, shown_log, write_log

LAST_LEARNED, JUDGED = ((FIRST_DAY + n * DAY).date() for n in (1, 2))


def outright_log() -> list[Event]:
    """Return the log of what was shown: what was clicked is saved, all else hidden."""
    log = shown_log()
    clicked = {event.slate_id for event in log if event.action == Action.CLICK}
    events = []
    for event in log:
        if event.slate_id is None or event.action == Action.IMPRESSION:
            events.append(event)
        if event.slate_id is not None and event.action == Action.IMPRESSION:
            action = Action.SAVE if event.slate_id in clicked else Action.HIDE
            events.append(event.model_copy(update={"event_id": f"{event.event_id}-{action}", "action": action}))
    return events


@pytest.mark.slow
def test_both_heads_are_judged_on_the_later_day_beside_the_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECLOOP_EPOCHS", "1")
    monkeypatch.setenv("RECLOOP_RANKER", "off")
    data, out = write_log(tmp_path / "log", outright_log()), tmp_path / "hides.json"
    days = ["--until", str(LAST_LEARNED), "--from", str(JUDGED), "--to", str(JUDGED)]
    assert main(["--data", f"events:{data}", *days, "--out", str(out), "--seeds", "1"]) == 0
    found = json.loads(out.read_text())
    assert str(tmp_path) not in out.read_text()
    assert (found["rows_learned"], found["rows_judged"]) == (2 * PER_DAY, PER_DAY)
    hide, like = (found["heads"][head] for head in ("hide", "like"))
    assert hide["bundles"]["positives"] + like["bundles"]["positives"] == PER_DAY
    # What is not hidden is saved, so that either floor orders the rows as the other does, but for the priors.
    assert hide["floor"]["auc"]["value"] == pytest.approx(like["floor"]["auc"]["value"], abs=0.02)
    for own in (hide, like):
        low, high = own["bundles"]["auc"]["interval"]
        # Items of a user's own kind are saved in 7 of 10 cases, others in 2 of 10.
        assert 0.55 < low < own["bundles"]["auc"]["value"] < high
        lead = own["floor"]["full_less_this"]["auc"]["value"]
        assert lead == pytest.approx(own["bundles"]["auc"]["value"] - own["floor"]["auc"]["value"])
    report = found["seeds"][0]["heads"]["hide"]
    assert report["auc"] == pytest.approx(hide["bundles"]["auc"]["value"])
