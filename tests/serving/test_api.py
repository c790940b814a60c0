"""What a request may say, at its limits, and that the document describes every body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recloop.errors import EventRejected
from recloop.events import Event
from serving.api import MAX_EXCLUDED, MAX_K, SCHEMA_REFERENCE, RecommendRequest, body_schemas, reference, request_body


def parse(**fields: Any) -> RecommendRequest:
    return RecommendRequest.parse(json.dumps({"user_id": "u", **fields}).encode())


def test_user_alone_is_a_request() -> None:
    request = RecommendRequest.parse('{"user_id": "Zoë"}'.encode())
    assert (request.user_id, request.k, request.exclude, request.seed) == ("Zoë", 10, [], None)


@pytest.mark.parametrize(
    "fields",
    [
        {"k": 1},
        {"k": MAX_K},
        {"exclude": [f"i{n}" for n in range(MAX_EXCLUDED)]},
        {"exclude": ["i", "i"]},
        {"seed": 0},
        {"seed": 2**63 - 1},
        {"surface": None},
    ],
    ids=lambda value: str(value)[:40],
)
def test_limits_themselves_are_allowed(fields: dict[str, Any]) -> None:
    request = parse(**fields)
    assert {name: getattr(request, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"k": MAX_K + 1}, "k"),
        ({"k": True}, "k"),
        ({"k": 2.5}, "k"),
        ({"exclude": [f"i{n}" for n in range(MAX_EXCLUDED + 1)]}, "exclude"),
        ({"exclude": None}, "exclude"),
        ({"exclude": ["i", "i\n"]}, "exclude.1"),
        ({"seed": 2**63}, "seed"),
        ({"surface": ""}, "surface"),
        ({"user_id": " u"}, "user_id"),
        ({"user_id": 7}, "user_id"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_step_past_a_limit_names_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(EventRejected) as caught:
        parse(**fields)
    assert caught.value.field == field
    assert caught.value.reason


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"\xff\xfe", b'{"user_id": "\\ud800"}', b"[" * 100_000],
    ids=["empty", "array", "null", "not_utf_8", "half_a_character", "deeply_nested"],
)
def test_body_that_is_no_object_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(EventRejected, match=r"^body: \w"):
        RecommendRequest.parse(body)


def test_every_reference_between_the_schemas_is_to_one_of_them() -> None:
    schemas = body_schemas()
    assert {"Event", "RecommendRequest"} <= schemas.keys()
    prefix = SCHEMA_REFERENCE.format(model="")
    referred = {part.split('"')[0] for part in json.dumps(schemas).split(prefix)[1:]}
    assert referred
    assert referred <= schemas.keys()


def test_body_of_several_forms_is_documented_as_one_of_them() -> None:
    one, many = reference(Event), {"type": "array", "items": reference(Event)}

    def schema(*forms: dict[str, Any]) -> Any:
        return request_body(*forms)["requestBody"]["content"]["application/json"]["schema"]

    assert schema(one) == {"$ref": "#/components/schemas/Event"}
    assert schema(one, many) == {"oneOf": [one, many]}
