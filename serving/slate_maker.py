"""Make a slate within the deadline: user row → retrieve → filter → rank → fill; or the best that can still be made.

    all there                              served_by model
    no fresh sequence of the user          served_by static_features: the model, with what else is known
    online store gone, deadline, an error  served_by popularity: the bundle's popular items of the segment
    no bundle                              NoModel, which the API answers with 503

Each slate names what it was made without. A request is answered by the release it began with.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from recloop.clock import Clock, from_ms, to_ms
from recloop.errors import ComponentUnavailable
from recloop.ranking import Context, UserState
from recloop.recommender import Recommender
from recloop.settings import Settings
from recloop.slates import fill, value
from serving.api import Reason, RecommendRequest, ServedBy
from serving.feature_reader import FeatureReader
from serving.release import Release, Releases
from serving.telemetry import Telemetry
from serving.user_state import KnownUser, known_user

LOG = logging.getLogger(__name__)
READ_SHARE = 0.4
"""Share of the deadline that reading the user's row may take; the rest is for the model."""

N_SCORERS = min(4, os.cpu_count() or 1)
EXPLORATION = "exploration"


class NoModel(ComponentUnavailable):
    """There is no bundle in memory: none was ever promoted here, or all were refused."""


@dataclass(frozen=True)
class Place:
    """One place of a slate; `row` into the bundle's catalogue."""

    row: int
    score: float | None
    source: str
    propensity: float
    explored: bool = False


@dataclass(frozen=True)
class Slate:
    """The list returned, and how it came about."""

    slate_id: str
    request: RecommendRequest
    release: Release
    made_at: datetime
    served_by: ServedBy
    known: KnownUser
    places: list[Place]
    degraded: tuple[Reason, ...] = field(default=())

    @property
    def as_of(self) -> datetime | None:
        """Newest interaction known of the user."""
        return None if self.known.as_of_ms is None else from_ms(self.known.as_of_ms)


class SlateMaker:
    """Answers requests with the release of the moment."""

    def __init__(
        self, *, settings: Settings, clock: Clock, releases: Releases, features: FeatureReader, telemetry: Telemetry
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._releases = releases
        self._features = features
        self._telemetry = telemetry
        self._pool = ThreadPoolExecutor(N_SCORERS, thread_name_prefix="scorer")

    def stop(self) -> None:
        """End the scoring threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def make(self, request: RecommendRequest) -> Slate:
        """Return a slate before the deadline.

        Raises:
            NoModel: nothing was ever loaded.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.request_deadline_ms / 1000
        release = self._releases.current
        if release is None:
            raise NoModel(self._releases.why_none())
        now = self._clock.now()
        known, lack = await self._known_user(request, to_ms(now))
        slate_id = str(uuid.uuid4())
        places = None
        if lack is None:
            places, lack = await self._scored(request, slate_id, release, known, to_ms(now), deadline)
        served_by = ServedBy.MODEL if known.has_sequence else ServedBy.STATIC_FEATURES
        if places is None:
            places, served_by = popular_places(release.recommender, known.state, request), ServedBy.POPULARITY
        degraded = known.lacks if lack is None else (*known.lacks, lack)
        for reason in degraded:
            self._telemetry.degraded.labels(reason).inc()
        return Slate(slate_id, request, release, now, served_by, known, places, degraded)

    async def _known_user(self, request: RecommendRequest, now_ms: int) -> tuple[KnownUser, Reason | None]:
        try:
            row = await self._features.read(
                request.user_id, timeout_seconds=READ_SHARE * self._settings.request_deadline_ms / 1000
            )
        except ComponentUnavailable:
            return KnownUser(UserState(request.user_id)), Reason.REDIS
        max_age = self._settings.online_row_max_age_hours
        return known_user(request.user_id, row, now_ms=now_ms, daily_max_age_hours=max_age), None

    async def _scored(
        self,
        request: RecommendRequest,
        slate_id: str,
        release: Release,
        known: KnownUser,
        now_ms: int,
        deadline: float,
    ) -> tuple[list[Place] | None, Reason | None]:
        loop = asyncio.get_running_loop()
        context = Context(now_ms, request.surface, request.device)
        seed = uuid.UUID(slate_id).int if request.seed is None else request.seed
        scoring = loop.run_in_executor(
            self._pool, scored_places, release.recommender, known.state, context, request, self._settings, seed
        )
        try:
            return await asyncio.wait_for(scoring, deadline - loop.time()), None
        except TimeoutError:
            return None, Reason.DEADLINE
        except Exception:  # a bundle that fails on one user must not fail the request
            LOG.exception("version %s cannot score", release.version)
            return None, Reason.MODEL_ERROR


def scored_places(
    recommender: Recommender,
    user: UserState,
    context: Context,
    request: RecommendRequest,
    settings: Settings,
    seed: int,
) -> list[Place]:
    """Return the model's slate."""
    scored = recommender.score(user, context=context, exclude=request.exclude)
    rows, sources = scored.candidates.rows, scored.candidates.sources
    if not len(rows):
        return []
    values = value(scored.heads, settings.value_weights)
    placed = fill(
        values, k=request.k, exploration_rate=settings.exploration_rate, generator=np.random.default_rng(seed)
    )
    return [
        Place(int(rows[one.row]), float(values[one.row]), sources[one.row], one.propensity, one.explored)
        for one in placed
    ]


def popular_places(recommender: Recommender, user: UserState, request: RecommendRequest) -> list[Place]:
    """Return the fallback's slate: popular items without what is known to be seen. The policy draws nothing."""
    blocked = {*user.seen_items, *user.recent.item_ids, *request.exclude}
    rows = [row for row in map(int, recommender.popular(user.segment)) if recommender.items.ids[row] not in blocked]
    return [Place(row, None, "popular", 1.0) for row in rows[: request.k]]
