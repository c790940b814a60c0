"""Keep the champion in memory: watch the alias, verify a new bundle beside the old one, swap one reference.

A thread of its own asks the model registry each `release_poll_seconds`. What it finds passes every check of
`serving.scoring.load_bundle` before a request sees it. A bundle that does not pass is refused by name and the old one
stays; so it does when the alias is gone or MLflow is down. The bundle before stays in memory, so that a rollback is a
check of its hashes and one assignment. After a restart the bundle served last comes from disk, before MLflow is asked.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recloop.bundles import verify
from recloop.clock import Clock
from recloop.errors import BundleError, BundleTampered, ComponentUnavailable
from recloop.recommender import Recommender
from serving.bundle_store import BundleStore
from serving.registry import ModelRegistry, ModelVersion
from serving.telemetry import Telemetry

LOG = logging.getLogger(__name__)
N_REFUSED_SHOWN = 10
POLLING = "ok"


@dataclass(frozen=True)
class Release:
    """One verified bundle in memory."""

    model_version: ModelVersion
    recommender: Recommender
    loaded_at: datetime

    @property
    def version(self) -> str:
        """Version in the model registry."""
        return self.model_version.version

    @property
    def bundle_id(self) -> str:
        """Name the bundle was sealed with."""
        return self.recommender.manifest.bundle_id


@dataclass(frozen=True)
class Refusal:
    """A model version that did not pass, and why."""

    model_version: ModelVersion
    reason: str
    at: datetime


class Releases:
    """What is served now, what was before, what was refused. Read from any thread; changed by `check` only."""

    def __init__(
        self,
        *,
        registry: ModelRegistry,
        store: BundleStore,
        load: Callable[[Path], Recommender],
        clock: Clock,
        telemetry: Telemetry,
        poll_seconds: float,
    ) -> None:
        self._registry = registry
        self._store = store
        self._load = load
        self._clock = clock
        self._telemetry = telemetry
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="release", daemon=True)
        self.current: Release | None = None
        self.previous: Release | None = None
        self.refused: deque[Refusal] = deque(maxlen=N_REFUSED_SHOWN)
        self.polling = "not asked yet"
        self.champion: ModelVersion | None = None
        self._standing_refusal: ModelVersion | None = None

    def start(self) -> None:
        """Begin to watch; what was served last is loaded first."""
        self._thread.start()

    def stop(self) -> None:
        """End watching; a check under way is waited for, but not for long."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def why_none(self) -> str:
        """Say why no bundle is in memory."""
        if self.refused:
            return f"no bundle is served: version {self.refused[-1].model_version.version}: {self.refused[-1].reason}"
        if self.polling != POLLING:
            return f"no bundle is served: {self.polling}"
        return "no bundle is served: no model version has the alias champion; train and promote one"

    def check(self, *, again: bool = False) -> None:
        """Look where the alias points and move there.

        Args:
            again: give a version that was refused another chance.
        """
        with self._lock:
            try:
                self.champion = self._registry.champion()
                self.polling = POLLING
                if self.champion is not None:
                    self._follow(self.champion, again=again)
            except ComponentUnavailable as error:
                self._telemetry.polls_failed.inc()
                self.polling = str(error)

    def restore(self) -> None:
        """Load what was served last on this machine, if it still passes every check."""
        version = self._store.last_good()
        if version is None:
            return
        with self._lock:
            try:
                recommender = self._load(self._store.folder(version))
            except BundleError as error:
                self._refuse(version, error)
            else:
                self._swap(Release(version, recommender, self._clock.now()))

    def _watch(self) -> None:
        self._survive(self.restore)
        self._survive(self.check)
        while not self._stopped.wait(self._poll_seconds):
            self._survive(self.check)

    def _survive(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # a full disk, say: the bundle in memory goes on, and so must the watch
            LOG.exception("the release check failed")
            self.polling = f"the release check failed: {error!r}"

    def _follow(self, champion: ModelVersion, *, again: bool) -> None:
        if self.current is not None and self.current.model_version == champion:
            self._standing_refusal = None
            return
        # A bundle that was refused is refused still: it is not fetched each second, but when asked or when it moved.
        if champion == self._standing_refusal and not again:
            return
        try:
            release = self._warm(champion) or self._from_disk(champion) or self._from_registry(champion)
        except BundleError as error:
            self._standing_refusal = champion
            self._refuse(champion, error)
        else:
            self._swap(release)
            self._store.remember(champion)
            self._store.prune([one.model_version for one in (self.current, self.previous) if one is not None])

    def _warm(self, version: ModelVersion) -> Release | None:
        """Return the release before, when it is that version and its files on disk are still what they were."""
        before = self.previous
        if before is None or before.model_version != version:
            return None
        try:
            unchanged = verify(self._store.folder(version)) == before.recommender.manifest
        except BundleTampered as error:
            LOG.warning("version %s on disk was changed: %s", version.version, error)
            unchanged = False
        return Release(version, before.recommender, self._clock.now()) if unchanged else None

    def _from_disk(self, version: ModelVersion) -> Release | None:
        if not self._store.folder(version).exists():
            return None
        try:
            return Release(version, self._load(self._store.folder(version)), self._clock.now())
        except BundleTampered as error:
            LOG.warning("version %s on disk is damaged, it is fetched again: %s", version.version, error)
            self._store.drop(version)
            return None

    def _from_registry(self, version: ModelVersion) -> Release:
        fetched = self._registry.download(version, self._store.empty_incoming())
        recommender = self._load(fetched)
        self._store.keep(fetched, version)
        return Release(version, recommender, self._clock.now())

    def _swap(self, release: Release) -> None:
        before = self.current
        # Requests read this one reference once: those under way end with the release they began with.
        self.previous, self.current = before, release
        self._standing_refusal = None
        self._telemetry.swaps.inc()
        if before is not None:
            self._telemetry.model.labels(before.version, before.bundle_id).set(0)
        self._telemetry.model.labels(release.version, release.bundle_id).set(1)
        LOG.info("version %s (bundle %s) answers", release.version, release.bundle_id)

    def _refuse(self, version: ModelVersion, error: BundleError) -> None:
        self.refused.append(Refusal(version, str(error), self._clock.now()))
        self._telemetry.refused.inc()
        LOG.error("version %s is refused: %s", version.version, error)
