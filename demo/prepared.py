"""The prepared data of the demo: made once per data source, read by every later step."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recloop.clock import parse_time
from recloop.commands import module
from recloop.errors import ConfigurationError, SourceError
from recloop.settings import PROJECT_DIR, Environment, Settings

REQUESTED, INGESTED = "requested.json", "ingested"


@dataclass(frozen=True)
class PreparedData:
    """A folder written by `jobs.prepare_data`."""

    folder: Path
    facts: dict[str, Any]

    @property
    def history(self) -> Path:
        """Folder to backfill from."""
        return self.folder / "history"

    @property
    def first(self) -> datetime:
        """Time of the oldest event."""
        return parse_time(self.facts["history"]["first"])

    @property
    def live_first(self) -> datetime:
        """Time of the oldest event of the live part: history ends before it."""
        return parse_time(self.facts["live"]["first"])

    @property
    def is_ingested(self) -> bool:
        """Tell whether an earlier run brought the history into the lake and a model of it into serving."""
        return (self.folder / INGESTED).exists()

    def mark_ingested(self) -> None:
        """Remember that."""
        (self.folder / INGESTED).touch()

    def live_events(self) -> list[dict[str, Any]]:
        """Return the events to replay, oldest first."""
        return _json_lines(self.folder / "live" / "events.jsonl")

    def items(self) -> dict[str, dict[str, Any]]:
        """Return the catalogue by item id."""
        return {item["item_id"]: item for item in _json_lines(self.history / "items.jsonl")}


def prepare(settings: Settings, data: str, options: Sequence[str]) -> PreparedData:
    """Prepare a data source, or find it prepared.

    Raises:
        ConfigurationError: this stack holds another data set.
        SourceError: the source cannot be read.
    """
    folder = settings.var_dir / "data" / "demo"
    wanted = {"data": data, "options": list(options)}
    if (folder / REQUESTED).exists():
        found = json.loads((folder / REQUESTED).read_text())
        if found != wanted:
            raise ConfigurationError(
                f"this stack holds {found['data']} {' '.join(found['options'])}, asked for is {data} "
                f"{' '.join(options)}. `make reset` forgets data and models, or set RECLOOP_VAR_DIR to another folder."
            )
    else:
        argv = module(
            Environment.CORE,
            "jobs.prepare_data",
            ["--data", data, "--out", str(folder), "--shift-to-now", *options],
        )
        done = subprocess.run(argv, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SourceError(done.stderr.strip().removeprefix("SourceError: "))
        (folder / REQUESTED).write_text(json.dumps(wanted))
    return PreparedData(folder, json.loads((folder / "source.json").read_text()))


def _json_lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]
