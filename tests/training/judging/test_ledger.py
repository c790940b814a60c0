"""The ledger of an ablation: every table there, each number with what the whole has more."""

from __future__ import annotations

from typing import Any

from training.judging.ledger import markdown
from training.judging.ranker_variants import HYBRIDS, RANKER

DATA = {
    "source": "made up", "learned_until": "then", "rows_learned": 2_000, "rows_judged": 800, "users_judged": 40,
    "judged_first": "then", "judged_last": "later",
}  # fmt: skip
LEAD = {"value": 0.02, "interval": [-0.01, 0.05]}


def part(value: float | None, *, beside: bool = True) -> dict[str, Any]:
    own = {"value": value, "interval": [0.7, 0.8], "spread": 0.003, "per_seed": [value, value]}
    head = {"auc": own, "gauc": own} | ({"full_less_this": {"auc": LEAD, "gauc": LEAD}} if beside else {})
    costs = {"training_cpu_seconds": 1.5, "cpu_seconds": 2.5, "scoring_ms_per_1000_rows": 3.5}
    return {"heads": {"click": head}, "costs": costs, "verdict": {"says": "helps"}}


def tree_part(value: float | None, *, beside: bool = True, **more: Any) -> dict[str, Any]:
    found = part(value, beside=beside)
    return found | {"costs": found["costs"] | {"tree_bytes": 12_300} | more}


FULL = {name: of for name, of in tree_part(0.75, beside=False).items() if name != "verdict"}
REPORT = {
    "data": DATA,
    "full": FULL,
    "variants": {"no taste": tree_part(0.73), "no sequence": tree_part(None)},
    "baselines": {"popularity": part(0.6)},
}


def rows(report: dict[str, Any]) -> dict[str, list[str]]:
    """Return the cells of each row by its first cell."""
    lines = [line.strip("| ").split(" | ") for line in markdown(report).splitlines() if line.startswith("| ")]
    return {first: cells for first, *cells in lines}


def test_number_stands_with_its_lead_and_costs_with_their_units() -> None:
    lead = "0.7300 (+0.0200 [-0.0100, +0.0500])"
    assert rows(REPORT)["no taste"] == ["2", lead, lead, "helps", "1.5", "12", "3.5"]


def test_full_stack_has_its_own_interval_and_spread_and_no_verdict() -> None:
    own = "0.7500 [0.7000, 0.8000], seeds within 0.0030"
    assert rows(REPORT)["full"] == ["2", own, own, "", "1.5", "12", "3.5"]


def test_what_is_not_defined_is_a_dash() -> None:
    assert rows(REPORT)["no sequence"][1:3] == ["–", "–"]


def test_baselines_say_their_cpu_seconds() -> None:
    assert rows(REPORT)["baseline"][-1] == "CPU s"
    assert rows(REPORT)["popularity"][-1] == "2.5"


def test_rankers_have_a_table_where_there_were_any() -> None:
    assert "ranker" not in rows(REPORT)
    hybrid = tree_part(0.76, weight_bytes=6_400)
    found = rows(REPORT | {"hybrids": dict.fromkeys(HYBRIDS, hybrid), "rankers": {RANKER: part(0.74)}})
    assert {*HYBRIDS, RANKER} <= found.keys()
    assert len(found[RANKER]) == len(found["ranker"]) == len(found["left out"])
    # 12.3 KB of trees and 6.4 KB of weights
    assert [found[name][-2] for name in HYBRIDS] == ["19"] * len(HYBRIDS)
