"""What happens when a task fails: one line in the log and one in `<var>/log/alerts.jsonl` for whoever watches it."""

from __future__ import annotations

import json
import logging
from typing import Any

from recloop.clock import SystemClock, format_time
from recloop.settings import load_settings

log = logging.getLogger(__name__)


def alert(context: dict[str, Any]) -> None:
    """Record a failed task: which, of which run, why, and where its log is."""
    task = context["task_instance"]
    line = {
        "at": format_time(SystemClock().now()),
        "dag": task.dag_id,
        "task": task.task_id,
        "run": task.run_id,
        "try": task.try_number,
        "reason": str(context.get("exception") or "unknown")[:2000],
        "log": getattr(task, "log_url", ""),
    }
    log.error("task failed: %s", line)
    path = load_settings().var_dir / "log" / "alerts.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, ensure_ascii=False) + "\n")
