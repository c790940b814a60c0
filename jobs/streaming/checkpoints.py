"""Find the Flink checkpoint to go on from.

In: the folder of all Flink checkpoints, `<job id>/chk-<n>/…`. Out: the newest complete one, or None.
"""

from __future__ import annotations

import shutil
from pathlib import Path

METADATA = "_metadata"
"""Flink writes it last: a checkpoint without it was cut off."""


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the folder of the newest complete Flink checkpoint of any earlier run."""
    complete = [found for found in folder.glob(f"*/chk-*/{METADATA}") if found.stat().st_size]
    if not complete:
        return None
    return max(complete, key=lambda found: (found.stat().st_mtime_ns, _number(found.parent))).parent


def remove_leftovers(folder: Path) -> None:
    """Remove the folders of earlier runs that hold no complete Flink checkpoint; call it before the job starts."""
    for run in folder.glob("*"):
        if run.is_dir() and not any(run.glob(f"chk-*/{METADATA}")):
            shutil.rmtree(run, ignore_errors=True)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("chk-"))
