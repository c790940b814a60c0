"""Catalogue rows: what is known of items and users beside events, as sources give them and files carry them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from recloop.events import Identifier

Category = Annotated[str, Field(min_length=1, max_length=128)]


class CatalogItem(BaseModel):
    """One item that can be recommended; all but the id may be unknown."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    item_id: Identifier
    title: str | None = Field(None, max_length=1_000)
    categories: tuple[Category, ...] = ()
    author_id: Identifier | None = None
    duration_ms: int | None = Field(None, ge=0)
    published_at: AwareDatetime | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    updated_at: AwareDatetime | None = None


class CatalogUser(BaseModel):
    """One user; `segment` is the source's own grouping and drives popularity by segment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: Identifier
    segment: str | None = Field(None, max_length=128)
    age_group: str | None = Field(None, max_length=64)
    gender: str | None = Field(None, max_length=64)
    attributes: dict[str, str] = Field(default_factory=dict)
    updated_at: AwareDatetime | None = None
