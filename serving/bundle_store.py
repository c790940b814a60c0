"""The bundles on this machine's disk: what was verified and served, so that a restart needs no model registry.

<folder>/bundles/<key>/    one verified bundle; a folder gets this name only after it passed every check
<folder>/incoming/         what is being fetched
<folder>/last_good.json    which bundle to begin with after a restart
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from serving.registry import ModelVersion

LOG = logging.getLogger(__name__)
KEPT = 3


class BundleStore:
    """Folders and the pointer; only the release thread writes here."""

    def __init__(self, folder: Path) -> None:
        self._bundles = folder / "bundles"
        self._incoming = folder / "incoming"
        self._pointer = folder / "last_good.json"

    def folder(self, version: ModelVersion) -> Path:
        """Return where a version's bundle lies, or would."""
        return self._bundles / version.key

    def empty_incoming(self) -> Path:
        """Return an empty folder to fetch into."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        return self._incoming

    def keep(self, fetched: Path, version: ModelVersion) -> Path:
        """Move a verified bundle to its own folder."""
        folder = self.folder(version)
        self.drop(version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fetched.rename(folder)
        return folder

    def drop(self, version: ModelVersion) -> None:
        """Delete a version's folder, if there is one."""
        shutil.rmtree(self.folder(version), ignore_errors=True)

    def remember(self, version: ModelVersion) -> None:
        """Note which version is served; atomic, so that a crash leaves the old note or the new one."""
        draft = self._pointer.with_suffix(".draft")
        draft.write_text(json.dumps({"version": version.version, "uri": version.uri}), encoding="utf-8")
        os.replace(draft, self._pointer)

    def last_good(self) -> ModelVersion | None:
        """Return the version served last on this machine; None when there was none or the note is damaged."""
        try:
            note = json.loads(self._pointer.read_text(encoding="utf-8"))
            return ModelVersion(str(note["version"]), str(note["uri"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            LOG.warning("%s cannot be read: %r", self._pointer, error)
            return None

    def prune(self, in_use: Collection[ModelVersion]) -> None:
        """Delete all but the KEPT newest bundles and those in use."""
        used = {version.key for version in in_use}
        folders = sorted(self._bundles.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in [folder for folder in folders if folder.name not in used][max(0, KEPT - len(used)) :]:
            shutil.rmtree(folder, ignore_errors=True)
