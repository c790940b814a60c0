from __future__ import annotations

from collections.abc import Mapping

import pytest

from recloop.attributes import MAX_ATTRIBUTES, MAX_LENGTH, attribute_texts, parse_attributes
from recloop.catalog import CatalogUser
from recloop.features import SERVING_V1, USER_PROFILE


@pytest.mark.parametrize(
    ("attributes", "texts"),
    [
        pytest.param(None, [], id="none"),
        pytest.param({}, [], id="empty"),
        pytest.param({"b": "2", "a": "1"}, ["a=1", "b=2"], id="several"),
        pytest.param({"größe": "süß", "年齢": "二十"}, ["größe=süß", "年齢=二十"], id="non_ascii"),
        pytest.param({"range": "[1=a,2=b]", "sum": "="}, ["range=[1=a,2=b]", "sum=="], id="equals_in_values"),
    ],
)
def test_texts_say_what_the_mapping_says(attributes: Mapping[str, str] | None, texts: list[str]) -> None:
    assert attribute_texts(attributes) == texts
    assert parse_attributes(texts) == (attributes or {})


def test_value_that_says_nothing_and_name_with_equals_are_left_out() -> None:
    assert attribute_texts({"unknown": "", "a=b": "c", "a": "1"}) == ["a=1"]


def test_first_texts_in_order_are_kept() -> None:
    many = {f"name{place:03}": "x" for place in reversed(range(MAX_ATTRIBUTES + 2))}
    assert attribute_texts(many) == [f"name{place:03}=x" for place in range(MAX_ATTRIBUTES)]


def test_long_value_is_cut_by_characters_not_bytes() -> None:
    assert attribute_texts({"a": "ü" * (MAX_LENGTH + 1), "b": "𝄞" * MAX_LENGTH}) == [
        "a=" + "ü" * MAX_LENGTH,
        "b=" + "𝄞" * MAX_LENGTH,
    ]


def test_row_without_texts_has_no_attributes() -> None:
    assert parse_attributes(None) == parse_attributes([]) == {}


def test_they_are_a_feature_of_the_catalogues_users_that_serving_reads() -> None:
    assert "user_attributes" in USER_PROFILE.names
    assert USER_PROFILE in SERVING_V1.views
    user = CatalogUser(user_id="u", attributes={"vip": "yes"})
    assert attribute_texts(user.attributes) == ["vip=yes"]
