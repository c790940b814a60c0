"""The worth of parts: what a report holds, and the command from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from recloop.ranking import RANKING_FEATURES
from tests.training.plain_rows import planted_rows
from tests.training.shown_log import PER_DAY, shown_log, write_log
from training.ablate import compare, main
from training.judging.baselines import Material, als_alone
from training.judging.kept_scores import KeptScores
from training.judging.ledger import markdown
from training.judging.ranker_variants import HYBRIDS, RANKER, RANKER_VARIANTS
from training.judging.tree_variants import FULL, VARIANTS


@pytest.fixture(scope="module")
def material() -> Material:
    """Rows whose likes are never met in the span that judges."""
    return Material(
        RANKING_FEATURES, planted_rows(2_000, 0), planted_rows(800, 1, liked=False), *4 * (cast(Any, None),)
    )


@pytest.fixture(scope="module")
def report(material: Material) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.stacking.stack.MAX_ROUNDS", 40)
        patch.setattr("training.judging.compare.FEW_RESAMPLES", 100)
        patch.setattr("training.ablate.BASELINES", {"ALS alone": als_alone})
        return compare(material, seeds=[3, 4], variant_seeds=1, kept=KeptScores())[0]


def test_planted_part_helps_and_noise_does_not(report: dict[str, Any]) -> None:
    planted = report["variants"]["no collaborative"]
    assert planted["verdict"] == {
        "says": "helps", "better_with_it": ["click auc", "click gauc"], "worse_with_it": [],
    }  # fmt: skip
    click = planted["heads"]["click"]
    assert click["auc"]["value"] == pytest.approx(0.5, abs=0.06)
    assert click["full_less_this"]["auc"]["value"] > 0.2
    assert "click auc" not in report["variants"]["no taste"]["verdict"]["better_with_it"]


def test_one_seed_of_a_variant_is_compared_with_one_of_the_full_stack(report: dict[str, Any]) -> None:
    full, part = (found["heads"]["click"]["auc"] for found in (report[FULL], report["variants"]["no collaborative"]))
    lead = report["variants"]["no collaborative"]["heads"]["click"]["full_less_this"]["auc"]
    assert len(full["per_seed"]) == 2
    assert full["per_seed"][0] != full["per_seed"][1]
    assert full["spread"] == abs(full["per_seed"][0] - full["per_seed"][1])
    assert lead["per_seed"] == [full["per_seed"][0] - part["per_seed"][0]]
    assert lead["value"] == pytest.approx(full["per_seed"][0] - part["value"])
    low, high = lead["interval"]
    assert low < lead["value"] < high


def test_parts_that_the_data_lacks_are_not_there(report: dict[str, Any]) -> None:
    assert set(report["variants"]) == {"no collaborative", "no sequence", "no base models", "no taste"}


def test_report_is_json_without_nan(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    # nobody likes anything in the span that judges
    like = report["variants"]["no taste"]["heads"]["like"]
    assert (like["positives"], like["auc"]["value"], like["auc"]["interval"]) == (0, None, None)
    assert like["full_less_this"]["gauc"] == {"value": None, "interval": None, "per_seed": [None]}


def test_costs_are_those_of_the_columns_kept(report: dict[str, Any], material: Material) -> None:
    assert report[FULL]["costs"]["columns"] == len(material.names)
    found = report["variants"]["no base models"]["costs"]
    assert found["columns"] == len(material.names) - 2
    assert all(found[name] > 0 for name in ("training_cpu_seconds", "tree_bytes", "scoring_ms_per_1000_rows"))


def test_baseline_is_judged_on_the_same_rows(report: dict[str, Any]) -> None:
    click = report["baselines"]["ALS alone"]["heads"]["click"]
    # what the clicks were made of, alone: trees can only lose a little of it
    assert click["auc"]["value"] > report[FULL]["heads"]["click"]["auc"]["value"] - 0.01
    assert "per_seed" not in click["full_less_this"]["auc"]


def test_tables_are_readable(report: dict[str, Any]) -> None:
    data = {
        "source": "made up", "learned_until": "then", "rows_learned": 2_000, "rows_judged": 800, "users_judged": 40,
        "judged_first": "then", "judged_last": "later", "seeds": [3, 4], "variant_seeds": 1,
    }  # fmt: skip
    lines = markdown(report | {"data": data}).splitlines()
    heading = next(line for line in lines if line.startswith("| left out"))
    tables = [line for line in lines if line.startswith("| ")]
    assert {"| full", "| no taste", "| ALS alone"} <= {line.split(" |")[0] for line in tables}
    width = heading.count("|")
    assert {line.count("|") for line in tables[: tables.index(heading) + 6]} == {width}
    planted = next(line for line in tables if line.startswith("| no collaborative"))
    lead = report["variants"]["no collaborative"]["heads"]["click"]["full_less_this"]["auc"]
    low, high = lead["interval"]
    assert f"({lead['value']:+.4f} [{low:+.4f}, {high:+.4f}])" in planted
    assert "| helps |" in planted


def test_days_go_with_a_source(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", "kuairand:here", "--until", "2022-04-30", "--report", "r.json"])
    assert "--data, --until, --from and --to go together" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--seeds", "0"], ["--seeds", "2", "--variant-seeds", "3"]])
def test_no_variant_has_more_seeds_than_the_full_stack(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--training-set", "here", "--report", "r.json", *options])
    assert "--seeds is 1 or more, and --variant-seeds no more than it" in capsys.readouterr().err


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A log whose impressions are of 27 to 29 March 2024; its last line is no event."""
    folder = write_log(tmp_path_factory.mktemp("source") / "log", shown_log())
    with (folder / "events.jsonl").open("a") as stream:
        stream.write("torn")
    return f"events:{folder}"


def test_days_that_judge_come_after_those_learned_from(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = ["--until", "2024-03-28", "--from", "2024-03-28", "--to", "2024-03-29"]
    assert main(["--data", source, *days, "--report", str(tmp_path / "report.json")]) == 1
    assert "ends at 2024-03-29T00:00:00.000Z, what judges begins at 2024-03-28T00:00" in capsys.readouterr().err


@pytest.mark.slow
def test_source_is_learned_from_to_one_day_and_judged_by_later_exposures(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.stacking.stack.MAX_ROUNDS", 10)
    monkeypatch.setattr("training.judging.compare.FEW_RESAMPLES", 20)
    monkeypatch.setattr("training.ablate.VARIANTS", {name: VARIANTS[name] for name in (FULL, "no statistics")})
    report = tmp_path / "report.json"
    days = ["--until", "2024-03-27", "--from", "2024-03-28", "--to", "2024-03-29"]
    options = ["--seeds", "2", "--variant-seeds", "1", "--ranker-seeds", "0", "--epochs", "1", "--device", "cpu"]
    assert main(["--data", source, *days, "--report", str(report), *options]) == 0
    found = json.loads(report.read_text())
    assert not {"hybrids", "rankers"} & found.keys(), "they were not asked for"
    assert found["data"]["source"] == "events:DIR"
    assert found["data"]["learned_until"] == "2024-03-28T00:00:00.000Z"
    assert found["data"]["rows_judged"] == 2 * PER_DAY
    assert found["data"]["left_out"] == {"malformed": 1, "repeated": 0}
    assert found["data"]["judged_first"] >= found["data"]["learned_until"]
    assert set(found["variants"]) == {"no statistics"}
    # items are shown again and again, so what they came to before tells of later
    assert found["baselines"]["log-odds of user, item, surface"]["heads"]["click"]["auc"]["value"] != 0.5


@pytest.mark.slow
def test_command_measures_every_part_and_writes_the_report(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.stacking.stack.MAX_ROUNDS", 10)
    monkeypatch.setattr("training.judging.compare.FEW_RESAMPLES", 20)
    monkeypatch.setenv("RECLOOP_RANKER_EPOCHS", "1")
    report, tables = tmp_path / "report.json", tmp_path / "tables.md"
    monkeypatch.setattr("training.ablate.VARIANTS", {name: VARIANTS[name] for name in (FULL, "no taste")})
    options = ["--seeds", "1", "--epochs", "1", "--device", "cpu", "--markdown", str(tables)]
    with monkeypatch.context() as killed:
        killed.setattr("training.ablate.score_ranker", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            main(["--training-set", str(folder), "--report", str(report), *options])
    monkeypatch.setattr("training.ablate.grow", _power_cut)  # what was kept is not grown again
    assert main(["--training-set", str(folder), "--report", str(report), *options]) == 0
    verdicts = json.loads(capsys.readouterr().out.splitlines()[-1])["verdicts"]
    assert verdicts.keys() == {"no taste", *HYBRIDS, *RANKER_VARIANTS}
    found = json.loads(report.read_text())
    assert found["data"]["source"] == folder.name
    assert set(found) == {"full", "variants", "baselines", "data", "seconds", "peak_memory_mb", "hybrids", "rankers"}
    assert set(found["rankers"]) == set(RANKER_VARIANTS)
    assert (
        found["rankers"][RANKER]["costs"]["weight_bytes"]
        > found["rankers"]["ranker, no sequence"]["costs"]["weight_bytes"]
    )
    assert set(found["hybrids"]) == set(HYBRIDS)
    assert {f"| {name}" for name in (*HYBRIDS, *RANKER_VARIANTS)} <= {
        line.split(" |")[0] for line in tables.read_text().splitlines()
    }
    assert len(found["baselines"]) == 7
    assert found["full"]["heads"]["click"]["auc"]["value"] > 0.8
    assert tables.read_text().startswith(f"{folder.name}: learned until ")
    assert {path.name for path in tmp_path.iterdir()} == {report.name, tables.name}, "what was kept is gone"


def _power_cut(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt
