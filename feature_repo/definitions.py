"""Feast's definitions, derived from recloop.features: nothing is stated twice.

Loaded by bare name by `feast apply` and by jobs.etl.apply_features, so everything lies in this one file.
"""

from __future__ import annotations

from feast import Entity as FeastEntity  # noqa: TID253 - Feast reads this module; no command imports it
from feast import FeatureService as FeastService  # noqa: TID253
from feast import FeatureView as FeastView  # noqa: TID253
from feast import Field, PushSource, ValueType  # noqa: TID253
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource  # noqa: TID253
from feast.types import Array, FeastType, Float32, Int64, String  # noqa: TID253

from recloop.features import FEATURE_SERVICES, FEATURE_VIEWS, Entity, FeatureService, FeatureView, Kind
from recloop.tables import Column

TYPES: dict[Kind, FeastType] = {
    Kind.FLOAT: Float32,
    Kind.LONG: Int64,
    Kind.STRING: String,
    Kind.STRINGS: Array(String),
    Kind.FLOATS: Array(Float32),
    Kind.LONGS: Array(Int64),
}


def _entity(entity: Entity) -> FeastEntity:
    name = entity.name.lower()
    return FeastEntity(name=name, join_keys=[entity.value], value_type=ValueType.STRING, description=f"One {name}.")


def _source(view: FeatureView) -> SparkSource | PushSource:
    table = SparkSource(
        name=view.name,
        table=view.table.full_name,
        timestamp_field=Column.FEATURE_TIME.value,
        created_timestamp_column=Column.CREATED_AT.value,
    )
    return PushSource(name=f"{view.name}_stream", batch_source=table) if view.streamed else table


def _view(view: FeatureView) -> FeastView:
    fields = [
        Field(name=str(spec.name), dtype=TYPES[spec.kind], description=spec.description) for spec in view.features
    ]
    return FeastView(
        name=view.name,
        entities=[ENTITIES[view.entity]],
        # Feast's ttl would also cut the point-in-time join; readers hold max_age against the row's own time.
        ttl=None,
        schema=[Field(name=view.entity.value, dtype=String), *fields],
        source=_source(view),
        online=True,
        description=f"Features of one {view.entity.name.lower()}.",
        tags={"path": "stream" if view.streamed else "batch", "max_age": str(view.max_age or "none")},
    )


def _service(service: FeatureService) -> FeastService:
    projections = [VIEWS[view.name][list(service.names(view))] for view in service.views]
    return FeastService(name=service.name, features=projections)


ENTITIES = {entity: _entity(entity) for entity in Entity}
VIEWS = {view.name: _view(view) for view in FEATURE_VIEWS}
SERVICES = {service.name: _service(service) for service in FEATURE_SERVICES}

# Feast collects what a module's globals hold, not what its mappings do.
entity_user, entity_item, entity_segment = ENTITIES.values()
view_user_daily, view_item_daily, view_segment_daily, view_user_profile, view_user_recent = VIEWS.values()
service_ranking, service_serving = SERVICES.values()
push_user_recent = view_user_recent.stream_source
