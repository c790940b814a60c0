"""The project's own Python, as the policy tests read it."""

from __future__ import annotations

from recloop.settings import PROJECT_DIR

FOLDERS = (
    "recloop", "jobs", "feature_repo", "expectations", "training", "benchmarks", "serving", "dags", "orchestration",
    "stack", "demo",
)  # fmt: skip
SOURCES = [path for folder in FOLDERS for path in sorted((PROJECT_DIR / folder).rglob("*.py"))]
