from __future__ import annotations

import dataclasses

import pytest

from recloop import features
from recloop.features import FEATURE_VIEWS, SERVING_V1, contract_id
from recloop.tables import Column


def test_feature_names_are_unique_across_views() -> None:
    names = [name for view in FEATURE_VIEWS for name in view.names]
    assert names
    assert len(names) == len(set(names))


def test_every_feature_is_described() -> None:
    assert [spec.name for view in FEATURE_VIEWS for spec in view.features if not spec.description] == []


def test_tables_begin_with_entity_and_both_times() -> None:
    for view in FEATURE_VIEWS:
        assert list(view.table.columns)[:3] == [view.entity, Column.FEATURE_TIME, Column.CREATED_AT]


def test_contract_changes_with_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    before = contract_id()
    first, *rest = SERVING_V1.views
    changed = dataclasses.replace(first.features[0], default=9.0)
    view = dataclasses.replace(first, features=(changed, *first.features[1:]))
    service = dataclasses.replace(SERVING_V1, views=(view, *rest))
    monkeypatch.setattr(features, "FEATURE_SERVICES", (service,))
    assert contract_id() != before
