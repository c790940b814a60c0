"""The ledger of an ablation as Markdown: what is left out, what that does to the numbers, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.judging.compare import METRICS, VERDICT_HEADS
from training.judging.ranker_variants import HYBRIDS, RANKER
from training.judging.tree_variants import FULL


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as tables: what is left out, the ranker, baselines; in brackets what the whole has more."""
    shown = [(head, name) for head in VERDICT_HEADS if head in report[FULL]["heads"] for name in METRICS]
    titles = [f"{head} {name.upper()}" for head, name in shown]
    data = report["data"]
    parts = {FULL: report[FULL], **report["variants"]}
    lines = [
        f"{data['source']}: learned until {data['learned_until']} ({data['rows_learned']} rows), judged on "
        f"{data['rows_judged']} rows of {data['users_judged']} users from {data['judged_first']} to "
        f"{data['judged_last']}. Of several seeds the mean of their scores is judged. After each number: full, of as "
        "many seeds, less this [95 % interval].",
        "",
        *_table("left out", titles, shown, parts),
    ]
    if report.get("rankers"):
        beside_full = " and ".join([*HYBRIDS, RANKER])
        lines += ["", f"After {beside_full}: full less it; after the ranker's variants: {RANKER} less them.", ""]
        lines += _table("ranker", titles, shown, report["hybrids"] | report["rankers"])
    lines += ["", *_heading(["baseline", *titles, "CPU s"])]
    for name, found in report["baselines"].items():
        cells = [_cell(found["heads"][head], metric) for head, metric in shown]
        lines.append(_line([name, *cells, found["costs"]["cpu_seconds"]]))
    return "\n".join(lines) + "\n"


def _table(
    first: str, titles: Sequence[str], shown: Sequence[tuple[str, str]], parts: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    lines = _heading([first, "seeds", *titles, "the part", "training, CPU s", "KB", "scoring, ms per 1,000 rows"])
    for name, found in parts.items():
        cells = [_cell(found["heads"][head], metric) for head, metric in shown]
        n_seeds = len(next(iter(found["heads"].values()))["auc"]["per_seed"])
        says = found["verdict"]["says"] if "verdict" in found else ""
        spent = found["costs"]
        size = round(sum(spent.get(part, 0) for part in ("tree_bytes", "weight_bytes")) / 1_000)
        lines.append(
            _line([name, n_seeds, *cells, says, spent["training_cpu_seconds"], size, spent["scoring_ms_per_1000_rows"]])
        )
    return lines


def _heading(titles: Sequence[str]) -> list[str]:
    return [_line(titles), _line(["---"] * len(titles))]


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _cell(head: Mapping[str, Any], metric: str) -> str:
    own, lead = head[metric], head.get("full_less_this", {}).get(metric, head[metric])
    if own["value"] is None:
        return "–"
    low, high = lead["interval"]
    if lead is own:
        return f"{own['value']:.4f} [{low:.4f}, {high:.4f}], seeds within {own['spread']:.4f}"
    return f"{own['value']:.4f} ({lead['value']:+.4f} [{low:+.4f}, {high:+.4f}])"
