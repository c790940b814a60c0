"""Files of the commands that measure: what cannot be written is said before the work, and the JSON is strict."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recloop.errors import ConfigurationError


def check_writable(*files: Path | None) -> None:
    """Look at where files are to lie, before the minutes or hours that it takes to make them.

    Raises:
        ConfigurationError: a file's folder is missing or closed to this process, or the file is a folder.
    """
    for file in files:
        if file is None:
            continue
        if not file.parent.is_dir():
            raise ConfigurationError(f"{file} cannot be written: {file.parent} is no folder. Make it first.")
        if file.is_dir():
            raise ConfigurationError(f"{file} cannot be written: it is a folder. Give a file in it.")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise ConfigurationError(f"{file} cannot be written: it may not be changed by this user. Give another.")


def write_report(file: Path, report: Mapping[str, Any]) -> None:
    """Write the report with null for what is not defined, as the novelty of slates that are all empty."""
    file.write_text(json.dumps(_defined(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _defined(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {name: _defined(own) for name, own in part.items()}
    if isinstance(part, list | tuple):
        return [_defined(own) for own in part]
    return None if isinstance(part, float) and not math.isfinite(part) else part
