"""Feast's definitions say what recloop.features says, and every environment that opens them can."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from recloop.commands import python
from recloop.feast_env import FEATURE_REPO, feast_environment
from recloop.features import FEATURE_SERVICES, FEATURE_VIEWS, Entity, FeatureService, FeatureView
from recloop.settings import Environment, Settings
from recloop.tables import Column

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def definitions() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FEATURE_REPO))
        import definitions

        yield definitions


@pytest.mark.parametrize("view", FEATURE_VIEWS, ids=lambda view: view.name)
def test_view_has_the_features_types_and_source_of_its_spec(definitions: ModuleType, view: FeatureView) -> None:
    made = definitions.VIEWS[view.name]
    assert {field.name: field.dtype for field in made.features} == {
        spec.name: definitions.TYPES[spec.kind] for spec in view.features
    }
    assert all(field.description for field in made.features)
    assert made.entities == [view.entity.name.lower()]
    assert made.batch_source.table == view.table.full_name
    assert made.batch_source.timestamp_field == Column.FEATURE_TIME
    assert made.batch_source.created_timestamp_column == Column.CREATED_AT
    assert (made.stream_source is not None) == view.streamed
    # No ttl: the join would cut with it, and online reads would not.
    assert not made.ttl  # Feast writes none as zero once a view was applied


@pytest.mark.parametrize("service", FEATURE_SERVICES, ids=lambda service: service.name)
def test_service_reads_what_its_spec_names(definitions: ModuleType, service: FeatureService) -> None:
    made = definitions.SERVICES[service.name]
    assert {
        projection.name: tuple(field.name for field in projection.features)
        for projection in made.feature_view_projections
    } == {view.name: service.names(view) for view in service.views}


def test_everything_is_a_global_of_the_module_where_feast_looks(definitions: ModuleType) -> None:
    found = set(map(id, vars(definitions).values()))
    made = [*definitions.VIEWS.values(), *definitions.SERVICES.values(), *definitions.ENTITIES.values()]
    assert len(made) == len(FEATURE_VIEWS) + len(FEATURE_SERVICES) + len(Entity)
    assert all(id(each) in found for each in made)


@pytest.mark.parametrize("environment", [Environment.STREAMING, Environment.SERVING])
def test_environments_without_spark_load_the_definitions(environment: Environment) -> None:
    code = "import definitions; print(sorted(definitions.SERVICES))"
    done = subprocess.run(
        [python(environment), "-W", "ignore", "-c", code], cwd=FEATURE_REPO, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(sorted(service.name for service in FEATURE_SERVICES)), done.stderr


@pytest.mark.spark
@pytest.mark.stack
def test_feast_command_reads_what_the_job_applied(spark: SparkSession, base_stack: Settings) -> None:
    from jobs.etl.apply_features import apply

    for _ in range(2):
        outcome = apply(spark, base_stack)
        assert outcome.rows_in == outcome.rows_out
    feast = python(Environment.CORE).replace("/python", "/feast")
    done = subprocess.run(
        [feast, "feature-services", "list"], cwd=FEATURE_REPO, capture_output=True, text=True, check=False,
        env=os.environ | feast_environment(base_stack, offline=True),
    )  # fmt: skip
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == {each.name for each in FEATURE_SERVICES}
