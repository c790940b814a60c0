"""Catalogue rows: what may be unknown, what is refused, and that a file carries them unchanged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from recloop.catalog import CatalogItem, CatalogUser


def test_id_is_enough() -> None:
    item, user = CatalogItem(item_id="i"), CatalogUser(user_id="u")
    assert (item.title, item.categories, item.author_id, item.duration_ms, item.published_at) == (
        None,
        (),
        None,
        None,
        None,
    )
    assert (user.segment, user.age_group, user.gender, user.attributes) == (None, None, None, {})


def test_row_comes_back_from_a_line_of_a_file_as_it_went() -> None:
    item = CatalogItem(
        item_id="i", title="Amélie", categories=("comedy", "romance"), author_id="a", duration_ms=0,
        published_at=datetime(2001, 4, 25, tzinfo=UTC), attributes={"language": "fr"},
    )  # fmt: skip
    user = CatalogUser(user_id="u", segment="young", attributes={"city": "Köln"})
    assert CatalogItem.model_validate_json(item.model_dump_json()) == item
    assert CatalogUser.model_validate_json(user.model_dump_json()) == user


def test_fields_of_the_source_s_own_are_passed_over() -> None:
    line = b'{"item_id": "i", "categories": ["drama"], "price": 3.5}'
    assert CatalogItem.model_validate_json(line) == CatalogItem(item_id="i", categories=("drama",))


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"item_id": ""}, ("item_id",)),
        ({"item_id": "two\nlines"}, ("item_id",)),
        ({"item_id": 7}, ("item_id",)),
        ({"title": "x" * 1_001}, ("title",)),
        ({"categories": "drama"}, ("categories",)),
        ({"categories": ["drama", ""]}, ("categories", 1)),
        ({"author_id": " a"}, ("author_id",)),
        ({"duration_ms": -1}, ("duration_ms",)),
        ({"published_at": "2001-04-25T00:00:00"}, ("published_at",)),
        ({"attributes": {"price": 3.5}}, ("attributes", "price")),
    ],
    ids=str,
)
def test_bad_field_of_an_item_is_named(fields: dict[str, Any], place: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        CatalogItem.model_validate({"item_id": "i", **fields})
    assert [error["loc"] for error in caught.value.errors()] == [place]


@pytest.mark.parametrize(
    ("fields", "place"),
    [({"user_id": ""}, "user_id"), ({"segment": "x" * 129}, "segment"), ({"updated_at": "2001-04-25"}, "updated_at")],
    ids=str,
)
def test_bad_field_of_a_user_is_named(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CatalogUser.model_validate({"user_id": "u", **fields})
    assert [error["loc"] for error in caught.value.errors()] == [(place,)]


def test_time_keeps_its_moment_whatever_its_offset() -> None:
    item = CatalogItem.model_validate({"item_id": "i", "published_at": "2001-04-25T02:00:00+02:00"})
    assert item.published_at == datetime(2001, 4, 25, tzinfo=UTC)
