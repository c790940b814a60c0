"""The worth of parts: which columns a variant leaves out, what a verdict rests on, and what a report holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES
from recloop.statistics import BASE_STATISTICS
from tests.training.plain_rows import without_history
from tests.training.shown_log import PER_DAY, shown_log, write_log
from training.ablate import compare, main
from training.judging.baselines import Material, als_alone
from training.judging.compare import verdict
from training.judging.ledger import markdown
from training.judging.ranker_variants import HYBRIDS, RANKER, RANKER_VARIANTS
from training.judging.tree_variants import FULL, VARIANTS, grow, kept_columns
from training.stacking.row_statistics import Moments
from training.stacking.rows import Rows

STATISTIC_COLUMNS = tuple(f"{spec.name}_{what}" for spec in BASE_STATISTICS for what in ("count", *Head))
NAMES = (*RANKING_FEATURES, "for_slate", "attribute_city", *STATISTIC_COLUMNS)
USER_STATISTICS = {
    "exposures_by_user", "exposures_by_user_surface", "interactions_by_user", "interactions_by_user_category",
    "interactions_by_user_author",
}  # fmt: skip
HEADS = (Head.CLICK, Head.LIKE)


def columns_of(statistics: set[str]) -> set[str]:
    return {f"{name}_{what}" for name in statistics for what in ("count", *Head)}


LEFT_OUT = {
    FULL: set(),
    "no collaborative": {"cf_score"},
    "no sequence": {"sequence_score"},
    "no base models": {"cf_score", "sequence_score"},
    "no statistics": set(STATISTIC_COLUMNS),
    "no statistics of users": columns_of(USER_STATISTICS),
    "no attributes": {"attribute_city"},
    "no taste": {"category_affinity", "category_recent", "author_recent"},
}


def test_every_variant_is_listed_here() -> None:
    assert set(LEFT_OUT) == set(VARIANTS)


@pytest.mark.parametrize("variant", LEFT_OUT)
def test_variant_leaves_out_what_it_says_and_nothing_else(variant: str) -> None:
    assert LEFT_OUT[variant] <= set(NAMES)
    kept = [NAMES[place] for place in kept_columns(NAMES, variant)]
    assert set(NAMES) - set(kept) == LEFT_OUT[variant]
    assert kept == [name for name in NAMES if name in kept]


def rows(n: int, seed: int, *, liked: bool = True) -> Rows:
    """Return rows of 40 users of which cf_score tells whether they are clicked, and nothing else tells anything."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(n, len(RANKING_FEATURES))).astype(np.float32)
    matrix[:, -6:] = generator.integers(0, 3, size=(n, 6))
    chance = 1 / (1 + np.exp(-2 * matrix[:, RANKING_FEATURES.index("cf_score")]))
    clicks = (generator.random(n) < chance).astype(np.int8)
    none = np.zeros(n, dtype=np.int8)
    labels = {Head.CLICK: clicks, Head.LIKE: clicks if liked else none, Head.LONG_VIEW: none, Head.HIDE: none}
    users = np.array([f"u{place % 40}" for place in range(n)], dtype=object)
    moments = Moments(users, np.zeros(n, dtype=np.int64), np.full(n, None, dtype=object), np.arange(n))
    ones = np.ones(n, dtype=bool)
    return Rows(matrix, labels, moments, np.full(n, {}, dtype=object), ones, ones, **without_history(n))


@pytest.fixture(scope="module")
def material() -> Material:
    """Rows whose likes are never met in the span that judges."""
    return Material(RANKING_FEATURES, rows(2_000, 0), rows(800, 1, liked=False), *4 * (cast(Any, None),))


@pytest.fixture(scope="module")
def report(material: Material) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.stacking.stack.MAX_ROUNDS", 40)
        patch.setattr("training.judging.compare.N_RESAMPLES", 100)
        patch.setattr("training.ablate.BASELINES", {"ALS alone": als_alone})
        return compare(material, seeds=[3, 4], variant_seeds=1)[0]


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


def test_columns_left_out_change_no_score(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.stacking.stack.MAX_ROUNDS", 5)
    kept = kept_columns(material.names, "no collaborative")
    before, _ = grow(material, kept, [3])
    judged = material.judged.take(np.arange(len(material.judged)))
    judged.matrix[:, material.names.index("cf_score")] = 7
    after, _ = grow(Material(material.names, material.learned, judged, *4 * (cast(Any, None),)), kept, [3])
    np.testing.assert_array_equal(before[Head.CLICK][0], after[Head.CLICK][0])


@pytest.mark.parametrize(
    ("intervals", "says"),
    [
        ({("click", "gauc"): [0.001, 0.002]}, "helps"),
        ({("like", "auc"): [0.001, 0.002]}, "helps"),
        ({("click", "auc"): [-0.002, -0.001]}, "switch off"),
        ({("click", "gauc"): [-0.001, 0.002]}, "not told apart"),
        ({("click", "gauc"): [0.001, 0.002], ("like", "gauc"): [-0.002, -0.001]}, "mixed"),
        ({("long_view", "gauc"): [0.001, 0.002]}, "not told apart"),
        ({("click", "gauc"): None}, "not told apart"),
    ],
)
def test_verdict_rests_on_the_intervals_of_clicks_and_likes(intervals: dict[tuple[str, str], Any], says: str) -> None:
    heads = {head: {"full_less_this": {name: {"interval": found}}} for (head, name), found in intervals.items()}
    everything = {head: {"full_less_this": {}} for head in Head} | heads
    assert verdict(everything)["says"] == says


def test_a_part_that_was_added_helps_where_the_full_stack_is_worse() -> None:
    heads = {"click": {"full_less_this": {"auc": {"interval": [-0.002, -0.001]}, "gauc": {"interval": [-0.1, 0.1]}}}}
    assert verdict(heads, added=True) == {"says": "helps", "better_with_it": ["click auc"], "worse_with_it": []}


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
    """A log whose impressions are of 27 to 29 March 2024."""
    return f"events:{write_log(tmp_path_factory.mktemp('source') / 'log', shown_log())}"


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
    monkeypatch.setattr("training.judging.compare.N_RESAMPLES", 20)
    monkeypatch.setattr("training.ablate.VARIANTS", {name: VARIANTS[name] for name in (FULL, "no statistics")})
    report = tmp_path / "report.json"
    days = ["--until", "2024-03-27", "--from", "2024-03-28", "--to", "2024-03-29"]
    options = ["--seeds", "2", "--variant-seeds", "1", "--epochs", "1", "--device", "cpu"]
    assert main(["--data", source, *days, "--report", str(report), *options]) == 0
    found = json.loads(report.read_text())
    assert found["data"]["learned_until"] == "2024-03-28T00:00:00.000Z"
    assert found["data"]["rows_judged"] == 2 * PER_DAY
    assert found["data"]["judged_first"] >= found["data"]["learned_until"]
    assert set(found["variants"]) == {"no statistics"}
    # items are shown again and again, so what they came to before tells of later
    assert found["baselines"]["log-odds of user, item, surface"]["heads"]["click"]["auc"]["value"] != 0.5


@pytest.mark.slow
def test_command_writes_the_report(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.stacking.stack.MAX_ROUNDS", 10)
    monkeypatch.setattr("training.judging.compare.N_RESAMPLES", 20)
    report, tables = tmp_path / "report.json", tmp_path / "tables.md"
    monkeypatch.setattr("training.ablate.VARIANTS", {name: VARIANTS[name] for name in (FULL, "no taste")})
    options = ["--seeds", "1", "--ranker-seeds", "1", "--epochs", "1", "--device", "cpu", "--markdown", str(tables)]
    assert main(["--training-set", str(folder), "--report", str(report), *options]) == 0
    found = json.loads(report.read_text())
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
    assert tables.read_text().startswith(str(folder))
