"""The report: every figure measured in this run, as a file and as tables."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from demo.clients import TaskResult
from recloop.settings import PROJECT_DIR


@dataclass(frozen=True)
class Stage:
    """One stage of the loop.

    `rows_out` counts what it published. `peak_memory_mb` is of the stage's own processes; the live replay's stage is
    the standing stack, so all of that.
    """

    name: str
    rows_in: int
    rows_out: int
    seconds: float
    peak_memory_mb: float | None


@dataclass
class Report:
    """What others read from report.json; `addresses` maps a page to its URL."""

    data: str
    commit: str
    data_facts: dict[str, Any] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    offline: dict[str, Any] = field(default_factory=dict)
    gate: list[str] = field(default_factory=list)
    event_to_slate_ms: dict[str, float] = field(default_factory=dict)
    swap_seconds: float | None = None
    rollback_seconds: float | None = None
    forward_seconds: float | None = None
    requests: int = 0
    failed_requests: int = 0
    served_by: dict[str, int] = field(default_factory=dict)
    peak_memory_mb: int = 0
    total_seconds: float = 0.0
    addresses: dict[str, str] = field(default_factory=dict)

    def add_tasks(self, dag_id: str, results: Sequence[TaskResult]) -> None:
        """Add the tasks of a DAG run that say what they did."""
        for result in results:
            value = result.value
            if "rows_in" in value:
                rows = int(value["rows_in"]), int(value["rows_out"])
                stage = Stage(f"{dag_id}.{result.task_id}", *rows, value["seconds"], value.get("peak_memory_mb"))
                self.stages.append(stage)

    def write(self, path: Path) -> None:
        """Write report.json, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        part.rename(path)


def latency(times_ms: list[float]) -> dict[str, float]:
    """Return p50, p95 and n; empty input gives n = 0 alone."""
    if not times_ms:
        return {"n": 0}
    p50, p95 = np.quantile(times_ms, [0.5, 0.95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "n": len(times_ms)}


def commit() -> str:
    """Return the commit of the code, with a plus sign when the tree differs from it; `unknown` outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def show(report: Report, console: Console) -> None:
    """Print the report as tables."""
    console.print(_stages(report), _offline(report), _loop(report))
    for name, address in report.addresses.items():
        console.print(f"  {name:16} {address}", highlight=False, soft_wrap=True)


def _stages(report: Report) -> Table:
    table = Table(title="Stages", title_justify="left")
    for name in ("stage", "rows in", "rows out", "seconds", "peak MB"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in report.stages:
        memory = "–" if stage.peak_memory_mb is None else f"{stage.peak_memory_mb:,.0f}"
        table.add_row(stage.name, f"{stage.rows_in:,}", f"{stage.rows_out:,}", f"{stage.seconds:.1f}", memory)
    return table


def _offline(report: Report) -> Table:
    table = Table(title="Offline metrics, on later time than the model was trained on", title_justify="left")
    for name in ("", "ndcg@10", "map@10", "precision@10"):
        table.add_column(name, justify="right" if name else "left")
    for name in ("champion", "popularity"):
        values = report.offline.get(name, {})
        metrics = [f"{values.get(key, float('nan')):.4f}" for key in ("ndcg_at_10", "map_at_10", "precision_at_10")]
        table.add_row(name, *metrics)
    low, high = report.offline.get("ndcg_difference_interval", (float("nan"), float("nan")))
    table.caption = f"difference in ndcg@10, 95 % bootstrap interval over users: [{low:+.4f}, {high:+.4f}]"
    return table


def _loop(report: Report) -> Table:
    table = Table(title="The loop", title_justify="left", show_header=False)
    event = report.event_to_slate_ms
    rows = {
        "event to changed slate": f"p50 {event.get('p50')} ms, p95 {event.get('p95')} ms, n = {event.get('n')}",
        "promotion to new model": f"{report.swap_seconds} s",
        "rollback, forward again": f"{report.rollback_seconds} s, {report.forward_seconds} s",
        "requests meanwhile": f"{report.requests:,}, failed {report.failed_requests}, by {report.served_by}",
        "gate": "; ".join(report.gate),
        "memory at its peak": f"{report.peak_memory_mb:,} MB of everything together",
        "whole demo": f"{report.total_seconds:.0f} s",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    return table
