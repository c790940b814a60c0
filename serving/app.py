"""The API: its parts, how they start and stop, and its routes.

POST /v1/events            take events, acknowledged by Kafka
POST /v1/recommendations   make a slate
GET  /v1/release           which model version answers, which were refused
POST /internal/release     look at the alias now (bearer token)
GET  /health/live, /health/ready, /metrics, /docs
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response, status
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST

from recloop.clock import Clock, format_time
from recloop.errors import ComponentUnavailable, EventRejected
from recloop.events import Event
from recloop.settings import Settings
from serving import api
from serving.bundle_store import BundleStore
from serving.event_log import EventLog, Message
from serving.feature_reader import FeatureReader
from serving.impressions import ImpressionLog
from serving.intake import MAX_PROBLEMS, Problem, parse_body, read_body
from serving.registry import ModelRegistry
from serving.release import Releases
from serving.request_timer import RequestTimer
from serving.scoring import load_bundle
from serving.slate_maker import NoModel, Slate, SlateMaker
from serving.telemetry import Telemetry

EVENT_ACK_SECONDS = 3.0
"""A sender waits no longer for Kafka: then it is told to keep its events."""

IMPRESSION_ACK_SECONDS = 120.0
"""Nobody waits for impressions: they outlast a broker's restart."""

RETRY_AFTER = {"Retry-After": "2"}


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    settings: Settings
    clock: Clock
    telemetry: Telemetry
    events: EventLog
    impressions: ImpressionLog
    features: FeatureReader
    releases: Releases
    slates: SlateMaker


def build_parts(settings: Settings, clock: Clock) -> Parts:
    """Make the parts of one process; nothing is started yet."""
    telemetry = Telemetry()
    features = FeatureReader(settings)
    releases = Releases(
        registry=ModelRegistry(settings),
        store=BundleStore(settings.var_dir / "serving"),
        load=load_bundle,
        clock=clock,
        telemetry=telemetry,
        poll_seconds=settings.release_poll_seconds,
    )
    return Parts(
        settings=settings,
        clock=clock,
        telemetry=telemetry,
        events=EventLog(settings.kafka, timeout_seconds=EVENT_ACK_SECONDS),
        impressions=ImpressionLog(
            EventLog(settings.kafka, timeout_seconds=IMPRESSION_ACK_SECONDS, linger_ms=10), telemetry
        ),
        features=features,
        releases=releases,
        slates=SlateMaker(settings=settings, clock=clock, releases=releases, features=features, telemetry=telemetry),
    )


def create_app(parts: Parts) -> FastAPI:
    """Return the ASGI app; its lifespan starts and stops the parts."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for part in (parts.events, parts.impressions.log, parts.features, parts.releases):
            part.start()
        yield
        # No request is under way any more: each part may take its time, side by side.
        stopping = (parts.releases, parts.slates, parts.features, parts.events, parts.impressions.log)
        await asyncio.gather(*(asyncio.to_thread(part.stop) for part in stopping))

    # The documentation page brings its scripts along: the browser may have no way out.
    app = FastAPIOffline(title="recloop", description="Events in, slates out.", version="1", lifespan=lifespan)
    app.add_middleware(RequestTimer, telemetry=parts.telemetry)
    _document_bodies(app)
    _add_events(app, parts)
    _add_recommendations(app, parts)
    _add_release(app, parts)
    _add_health(app, parts)
    return app


def _add_events(app: FastAPI, parts: Parts) -> None:
    event = api.reference(Event)

    @app.post(
        "/v1/events",
        status_code=status.HTTP_202_ACCEPTED,
        responses={422: {"model": api.Malformed}, 503: {"model": api.Unavailable}},
        openapi_extra=api.request_body(event, {"type": "array", "items": event}),
        tags=["events"],
    )
    async def take_events(request: Request) -> api.Accepted:
        """Take one event, an array of events, or one per line (application/x-ndjson): all of them or none.

        202 is answered when Kafka has acknowledged every event. A repeat of an `event_id` is dropped later on, so a
        request that was answered 503, or not at all, is simply sent again.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            body = await read_body(request.stream())
        except EventRejected as rejected:
            raise Refused([Problem(0, rejected.field, rejected.reason)]) from rejected
        received, problems = parse_body(body, received_at=parts.clock.now(), media_type=media_type)
        if problems:
            raise Refused(problems)
        try:
            await parts.events.write_all([Message(one.event.user_id, one.payload) for one in received])
        except ComponentUnavailable:
            parts.telemetry.events_unavailable.inc(len(received))
            raise
        parts.telemetry.events_accepted.inc(len(received))
        return api.Accepted(accepted=len(received))

    @app.exception_handler(Refused)
    async def refuse(_: Request, refused: Refused) -> JSONResponse:
        for problem in refused.problems:
            parts.telemetry.events_rejected.labels(problem.field).inc()
        return _malformed(refused.problems[:MAX_PROBLEMS])

    @app.exception_handler(EventRejected)
    async def reject(_: Request, rejected: EventRejected) -> JSONResponse:
        return _malformed([Problem(0, rejected.field, rejected.reason)])

    @app.exception_handler(ComponentUnavailable)
    async def unavailable(_: Request, error: ComponentUnavailable) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status.HTTP_503_SERVICE_UNAVAILABLE, RETRY_AFTER)


def _add_recommendations(app: FastAPI, parts: Parts) -> None:
    @app.post(
        "/v1/recommendations",
        responses={422: {"model": api.Malformed}, 503: {"model": api.Unavailable}},
        openapi_extra=api.request_body(api.reference(api.RecommendRequest)),
        tags=["recommendations"],
    )
    async def recommend(request: Request) -> api.SlateAnswer:
        """Make a slate for a user before the deadline; `served_by` and `degraded` say what it was made of.

        Each place is logged as an impression, with the propensity it had.
        """
        ask = api.RecommendRequest.parse(await read_body(request.stream()))
        slate = await parts.slates.make(ask)
        request.state.served_by = slate.served_by
        parts.impressions.write(slate)
        return _answer(slate)


def _add_release(app: FastAPI, parts: Parts) -> None:
    @app.get("/v1/release", tags=["release"])
    async def release() -> api.ReleaseAnswer:
        """Say which model version answers, which is kept for a rollback, and which were refused."""
        return _release(parts)

    @app.post("/internal/release", tags=["release"], responses={403: {"model": api.Unavailable}})
    async def check_release(request: Request) -> api.ReleaseAnswer:
        """Look at the alias now, and give a refused version another chance. Answers when that is done."""
        token = parts.settings.serving_token.get_secret_value()
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        # Without a token set nobody may: an empty one must not open the page.
        if not token or not hmac.compare_digest(given.encode(), token.encode()):
            raise HTTPException(status.HTTP_403_FORBIDDEN, "send RECLOOP_SERVING_TOKEN as bearer token")
        await asyncio.to_thread(parts.releases.check, again=True)
        return _release(parts)


def _add_health(app: FastAPI, parts: Parts) -> None:
    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """Answer as long as the process does."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"], responses={503: {"model": api.Unavailable}})
    async def ready() -> dict[str, str]:
        """Answer 200 when a slate can be made, from a fallback if need be."""
        current = parts.releases.current
        if current is None:
            raise NoModel(parts.releases.why_none())
        return {"status": "ready", "version": current.version}

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return the service metrics in Prometheus' text format."""
        return Response(parts.telemetry.render(), media_type=CONTENT_TYPE_LATEST)


class Refused(Exception):
    """Events of a request are malformed."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} malformed events")
        self.problems = problems


def _malformed(problems: list[Problem]) -> JSONResponse:
    detail = [{"index": one.index, "field": one.field, "reason": one.reason} for one in problems]
    return JSONResponse({"detail": detail}, status.HTTP_422_UNPROCESSABLE_CONTENT)


def _answer(slate: Slate) -> api.SlateAnswer:
    items = slate.release.recommender.items
    return api.SlateAnswer(
        slate_id=slate.slate_id,
        user_id=slate.request.user_id,
        model_version=slate.release.version,
        served_by=slate.served_by,
        degraded=list(slate.degraded),
        as_of=None if slate.as_of is None else format_time(slate.as_of),
        n_recent=len(slate.known.state.recent),
        items=[
            api.SlateItem(
                item_id=items.ids[place.row],
                title=items.titles[place.row],
                score=place.score,
                source=place.source,
                position=position,
                propensity=place.propensity,
                reason="exploration" if place.explored else None,
            )
            for position, place in enumerate(slate.places)
        ],
    )


def _release(parts: Parts) -> api.ReleaseAnswer:
    current, previous, champion = parts.releases.current, parts.releases.previous, parts.releases.champion
    return api.ReleaseAnswer(
        version=current and current.version,
        champion=champion and champion.version,
        bundle_id=current and current.bundle_id,
        loaded_at=current and format_time(current.loaded_at),
        previous=previous and previous.version,
        refused=[
            api.RefusedBundle(version=one.model_version.version, reason=one.reason, at=format_time(one.at))
            for one in list(parts.releases.refused)
        ],
        polling=parts.releases.polling,
    )


def _document_bodies(app: FastAPI) -> None:
    """Add to the OpenAPI document the bodies that are read by hand, since their size is bounded while they arrive."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        document["components"]["schemas"] |= api.body_schemas()
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document
