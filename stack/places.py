"""Where installed things lie, and how a finished step is remembered. Standard library only."""

from __future__ import annotations

import configparser
import hashlib
from collections.abc import Iterable
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent
INSTALLED_DIR = PROJECT_DIR / "var"
VENV_DIR = PROJECT_DIR / ".venv"
REQUIREMENTS_DIR = PROJECT_DIR / "requirements"
JAVA_HOME = INSTALLED_DIR / "java"
JARS_DIR = INSTALLED_DIR / "jars"
CLASS_ARCHIVE = INSTALLED_DIR / "spark.jsa"
UV = INSTALLED_DIR / "uv" / "bin" / "uv"
TEST_EXTRA = "test"


def environments() -> list[str]:
    """Return the names of the virtual environments: the extras of setup.cfg, less the one that all share."""
    config = configparser.ConfigParser()
    config.read(PROJECT_DIR / "setup.cfg")
    return [name for name in config["options.extras_require"] if name != TEST_EXTRA]


def python(environment: str) -> Path:
    """Return the path of an environment's interpreter."""
    return VENV_DIR / environment / "bin" / "python"


def digest(parts: Iterable[str | bytes | Path]) -> str:
    """Return a hash of texts and files' contents; it changes when one of them does."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "big"))
        total.update(content)
    return total.hexdigest()


def is_done(stamp: Path, of: str) -> bool:
    """Tell whether a step wrote this stamp for the same inputs."""
    return stamp.is_file() and stamp.read_text() == of


def mark_done(stamp: Path, of: str) -> None:
    """Remember that a step is finished for these inputs; call it last."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(of)
