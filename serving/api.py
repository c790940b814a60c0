"""Requests and answers of the API, as its documentation page shows them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema

from recloop.errors import EventRejected
from recloop.events import Event, Identifier, Label

MAX_K = 100
MAX_EXCLUDED = 1_000
SCHEMA_REFERENCE = "#/components/schemas/{model}"


class ServedBy(StrEnum):
    """Which path made a slate."""

    MODEL = "model"
    STATIC_FEATURES = "static_features"
    POPULARITY = "popularity"


class Reason(StrEnum):
    """What a slate was made without."""

    USER_RECENT_MISSING = "user_recent_missing"
    USER_RECENT_STALE = "user_recent_stale"
    USER_DAILY_MISSING = "user_daily_missing"
    USER_DAILY_STALE = "user_daily_stale"
    REDIS = "redis"
    DEADLINE = "deadline"
    MODEL_ERROR = "model_error"


class RecommendRequest(BaseModel):
    """The ask for a slate."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    user_id: Identifier = Field(description="For whom.")
    k: int = Field(10, ge=1, le=MAX_K, description="Length of the slate.")
    surface: Label | None = Field(None, description="Where in the product: home, search, …")
    device: Label | None = Field(None, description="phone, web, …")
    exclude: Annotated[list[Identifier], Field(max_length=MAX_EXCLUDED)] = Field(
        default=[], description="Items that must not be shown."
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Fixes what exploration draws; by default the slate's id does."
    )

    @classmethod
    def parse(cls, body: bytes) -> RecommendRequest:
        """Read a request's body.

        Raises:
            EventRejected: with the first bad field and the reason.
        """
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            raise EventRejected(".".join(map(str, first["loc"])) or "body", first["msg"]) from error


class SlateItem(BaseModel):
    """One place of a slate."""

    item_id: str
    title: str
    score: float | None = Field(description="Expected value of showing it; null: no model scored it.")
    source: str = Field(description="Which candidate source nominated it.")
    position: int = Field(description="From 0.")
    propensity: float = Field(description="Chance that the policy showed this item here, given the places above.")
    reason: str | None = Field(None, description="`exploration`: shown to learn about it.")


class SlateAnswer(BaseModel):
    """A slate and how it came about."""

    slate_id: str
    user_id: str
    model_version: str = Field(description="Version in the model registry.")
    served_by: ServedBy
    degraded: list[Reason] = Field(description="What the slate was made without; empty when all was there.")
    as_of: str | None = Field(description="Newest interaction known of this user (RFC 3339).")
    n_recent: int = Field(description="Interactions of this user that the model looked at, at most 100.")
    items: list[SlateItem]


class Accepted(BaseModel):
    """Events that Kafka has."""

    accepted: int


class ProblemDetail(BaseModel):
    """One malformed event or request."""

    index: int = Field(description="Place of the event in the request, from 0.")
    field: str
    reason: str


class Malformed(BaseModel):
    """Nothing of the request was taken."""

    detail: list[ProblemDetail]


class Unavailable(BaseModel):
    """Why there is no answer now."""

    detail: str


class RefusedBundle(BaseModel):
    """A model version that did not pass."""

    version: str
    reason: str = Field(description="Names the file or the contract that failed.")
    at: str


class ReleaseAnswer(BaseModel):
    """What this process serves."""

    version: str | None = Field(description="Version that answers; null: none.")
    champion: str | None = Field(description="Version the alias named when last asked; null: none, or never asked.")
    bundle_id: str | None
    loaded_at: str | None
    previous: str | None = Field(description="Version kept in memory for a rollback.")
    refused: list[RefusedBundle] = Field(description="Newest last.")
    polling: str = Field(description="`ok`, or why the model registry cannot be asked.")


def body_schemas() -> dict[str, Any]:
    """Return the JSON schemas of the bodies that the app reads by itself, for its OpenAPI document."""
    _, definitions = models_json_schema(
        [(Event, "validation"), (RecommendRequest, "validation")], ref_template=SCHEMA_REFERENCE
    )
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def request_body(*schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an OpenAPI operation that documents its body as one of the given schemas."""
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": list(schemas)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a JSON schema reference to a model of this document."""
    return {"$ref": SCHEMA_REFERENCE.format(model=model.__name__)}
