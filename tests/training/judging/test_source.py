"""A bundle judged on days of a log that the test writes: the command from end to end, and what must not matter."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from recloop.bundles import MANIFEST
from recloop.clock import from_ms
from recloop.events import Action, Event
from recloop.head_metrics import auc, grouped_auc
from recloop.labels import Head
from recloop.recommender import Recommender
from recloop.settings import Settings
from recloop.sources.base import moment
from recloop.sources.event_files import EventFiles
from recloop.sources.kuairand import KuaiRand
from tests.training.shown_log import DAY, FIRST_DAY, PER_DAY, UNKNOWN, shown_log, write_log
from training.evaluate import main
from training.judging.source import evaluate_source
from training.scoring import load_bundle

pytestmark = pytest.mark.slow

FIRST, LAST = "2024-03-27", "2024-03-28"


@pytest.fixture(scope="module")
def log() -> list[Event]:
    return shown_log()


@pytest.fixture(scope="module")
def log_folder(log: list[Event], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log, with an event written twice and lines that are none."""
    folder = write_log(tmp_path_factory.mktemp("source") / "log", log)
    with (folder / "events.jsonl").open("ab") as stream:
        stream.write(log[0].to_json() + b"\ntorn\n{}\n")
    return folder


@pytest.fixture(scope="module")
def recommender(trained: tuple[Path, Any]) -> Recommender:
    return load_bundle(trained[0])


def command(bundle: Path, data: str, out: Path, *, first: str = FIRST, last: str = LAST) -> int:
    return main(["--bundle", str(bundle), "--data", data, "--from", first, "--to", last, "--report", str(out)])


@pytest.fixture(scope="module")
def judged(
    trained: tuple[Path, Any], log_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report of the command, and its file of scores as columns."""
    out = tmp_path_factory.mktemp("judged")
    options = ["--from", FIRST, "--to", LAST, "--report", str(out / "r.json"), "--scores", str(out / "s.parquet")]
    assert main(["--bundle", str(trained[0]), "--data", f"events:{log_folder}", *options]) == 0
    scores = pq.ParquetFile(out / "s.parquet")
    assert scores.metadata.row_group(0).column(0).compression == "ZSTD"
    return json.loads((out / "r.json").read_text()), scores.read().to_pydict()


def chances(
    recommender: Recommender, folder: Path, settings: Settings, out: Path, *, end: date = date(2024, 3, 28)
) -> dict[tuple[str, str, int], float]:
    """Return the click's chance of each exposure from FIRST up to a day's end."""
    source = EventFiles(folder)
    evaluate_source(recommender, source, start=date(2024, 3, 27), end=end, settings=settings, scores=out)
    found = pq.read_table(out).to_pydict()
    keys = zip(found["user_id"], found["item_id"], found["time_ms"], strict=True)
    return dict(zip(keys, found["click_chance"], strict=True))


def test_both_days_are_judged_and_no_other(judged: tuple[dict[str, Any], dict[str, Any]], log: list[Event]) -> None:
    report, scores = judged
    shown = [event for event in log if event.action == Action.IMPRESSION]
    within = [event for event in shown if event.event_time < FIRST_DAY + 2 * DAY]
    assert len(within) == 2 * PER_DAY < len(shown)
    data = report["data"]
    assert (data["rows"], data["rows_from"]) == (2 * PER_DAY, "impression")
    assert (data["from"], data["to"]) == ("2024-03-27T00:00:00.000Z", "2024-03-29T00:00:00.000Z")
    assert data["left_out"] == {"malformed": 2, "repeated": 1}
    times = [event.event_time.timestamp() * 1_000 for event in within]
    assert scores["time_ms"] == sorted(times)


def test_report_and_scores_say_the_same(judged: tuple[dict[str, Any], dict[str, Any]]) -> None:
    report, scores = judged
    assert report["heads"].keys() == {*Head}
    assert report["heads"]["long_view"]["gauc_interval"] is None
    click = report["heads"]["click"]
    assert click["auc"] == pytest.approx(auc(scores["click"], scores["click_chance"]))
    assert click["gauc"] == pytest.approx(grouped_auc(scores["click"], scores["click_chance"], scores["user_id"]))
    assert click["auc_interval"][0] < click["auc"] < click["auc_interval"][1]
    # The log has the pattern that the bundle was trained on.
    assert click["auc_interval"][0] > 0.5
    assert report["slices"]["click"]["surface=home"]["auc"] == click["auc"]
    assert report["slates"]["n_requests"] > 50


def test_rows_that_the_bundle_learned_from_are_told(
    judged: tuple[dict[str, Any], dict[str, Any]], recommender: Recommender, log: list[Event],
    quick_settings: Settings, log_folder: Path,
) -> None:  # fmt: skip
    assert judged[0]["note"] is None
    learned_until = from_ms(recommender.manifest.metrics["learned_until_ms"])
    start, end = learned_until - DAY, learned_until + DAY / 2
    found = evaluate_source(recommender, EventFiles(log_folder), start=start, end=end, settings=quick_settings)
    n_learned = sum(start <= event.event_time < learned_until for event in log)
    assert 0 < n_learned < found["data"]["rows"]
    assert f": {n_learned} of the {found['data']['rows']} judged rows lie before that" in found["note"]


def test_head_without_a_positive_has_no_auc_and_a_note(judged: tuple[dict[str, Any], dict[str, Any]]) -> None:
    hide = judged[0]["heads"]["hide"]
    assert (hide["auc"], hide["gauc"], hide["positives"]) == (None, None, 0)
    assert "0 of 600 rows are positive" in hide["note"]


def test_items_and_users_that_the_bundle_lacks_are_judged(judged: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, scores = judged
    probabilities = np.array(scores["click_chance"])
    assert np.isfinite(probabilities).all()
    assert sum(item in UNKNOWN for item in scores["item_id"]) == 2 * PER_DAY // 15
    assert scores["user_id"].count("new") == 2 * PER_DAY // 20


def test_last_line_is_json(
    trained: tuple[Path, Any], log_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noon = "2024-03-27T12:00:00Z"
    assert command(trained[0], f"events:{log_folder}", tmp_path / "r.json", first=noon, last=FIRST) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    report = json.loads((tmp_path / "r.json").read_text())
    assert said["heads"]["click"] == {name: report["heads"]["click"][name] for name in ("auc", "gauc")}
    assert report["data"]["from"] == "2024-03-27T12:00:00.000Z"
    assert 0 < report["data"]["rows"] < PER_DAY


def test_other_catalogue_changes_no_score(
    recommender: Recommender, log: list[Event], log_folder: Path, quick_settings: Settings, tmp_path: Path
) -> None:
    wider = write_log(tmp_path / "wider", log, extra_items=7)
    expected = chances(recommender, log_folder, quick_settings, tmp_path / "a.parquet")
    assert len(set(expected.values())) > 20
    assert chances(recommender, wider, quick_settings, tmp_path / "b.parquet") == pytest.approx(expected, rel=1e-6)


def test_what_came_after_a_row_changes_no_score(
    recommender: Recommender, log_folder: Path, quick_settings: Settings, tmp_path: Path
) -> None:
    both = chances(recommender, log_folder, quick_settings, tmp_path / "a.parquet")
    alone = chances(recommender, log_folder, quick_settings, tmp_path / "b.parquet", end=date(2024, 3, 27))
    assert len(alone) == PER_DAY
    assert {key: both[key] for key in alone} == pytest.approx(alone, rel=1e-6)


def test_day_is_one_of_the_sources_calendar(
    recommender: Recommender, log_folder: Path, quick_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventFiles, "utc_offset", timedelta(hours=8))
    day = date(2024, 3, 28)
    found = evaluate_source(recommender, EventFiles(log_folder), start=day, end=day, settings=quick_settings)["data"]
    assert (found["from"], found["to"]) == ("2024-03-27T16:00:00.000Z", "2024-03-28T16:00:00.000Z")
    assert found["from"] <= found["first"] < "2024-03-28" < found["last"] < found["to"]


def test_days_of_kuairand_begin_at_chinas_midnight(tmp_path: Path) -> None:
    source = KuaiRand(tmp_path)
    assert moment(source, date(2022, 5, 1)) == datetime(2022, 4, 30, 16, tzinfo=UTC)
    assert moment(source, date(2022, 5, 4), ends=True) == datetime(2022, 5, 4, 16, tzinfo=UTC)


def test_span_without_a_request_is_judged_without_slates(
    recommender: Recommender, log: list[Event], quick_settings: Settings, tmp_path: Path
) -> None:
    unclicked = [event for event in log if event.event_time < FIRST_DAY or event.action == Action.IMPRESSION]
    source = EventFiles(write_log(tmp_path / "log", unclicked))
    found = evaluate_source(
        recommender, source, start=date(2024, 3, 27), end=date(2024, 3, 27), settings=quick_settings
    )
    assert found["data"]["rows"] == PER_DAY
    assert "no slate can be judged" in found["slates"]["note"]
    assert found["heads"]["click"]["auc"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        pytest.param(LAST, FIRST, "begins at 2024-03-28T00:00:00.000Z and ends at 2024-03-28", id="turned_round"),
        pytest.param("2025-01-01", "2025-01-02", "no impression or interaction lies between 2025-01-01", id="later"),
        pytest.param("2020-01-01", "2020-01-02", "before 2020-01-03", id="earlier"),
    ],
)
def test_span_that_holds_nothing_is_said(
    first: str, last: str, message: str, trained: tuple[Path, Any], log_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert command(trained[0], f"events:{log_folder}", tmp_path / "r.json", first=first, last=last) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("TrainingError: ")
    assert message in error
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [("kuairant:.", "SourceError: data source 'kuairant:.' is unknown"), ("events:/nowhere", "/nowhere is no folder")],
)
def test_source_that_is_not_there_is_said(
    data: str, message: str, trained: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(trained[0], data, tmp_path / "r.json") == 1
    assert message in capsys.readouterr().err


def test_bundle_of_another_contract_is_said(
    trained: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(trained[0], tmp_path / "bundle"))
    manifest = json.loads((other / MANIFEST).read_text())
    (other / MANIFEST).write_text(json.dumps(manifest | {"feature_contract": "another"}))
    assert command(other, "movielens", tmp_path / "r.json") == 1
    assert "BundleIncompatible" in capsys.readouterr().err


def test_moment_is_taken_as_it_is(
    recommender: Recommender, log_folder: Path, quick_settings: Settings, log: list[Event]
) -> None:
    start, end = datetime(2024, 3, 27, 6, tzinfo=UTC), datetime(2024, 3, 27, 18, tzinfo=UTC)
    found = evaluate_source(recommender, EventFiles(log_folder), start=start, end=end, settings=quick_settings)
    shown = [event for event in log if event.action == Action.IMPRESSION and start <= event.event_time < end]
    assert found["data"]["rows"] == len(shown) > 0
