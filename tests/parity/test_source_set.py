"""One log, two ways to a training set: through the lake, Spark and Feast, and straight from the source.

The lake holds the days after the end too, as it does when a model is trained again as of the past; the source is cut.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from recloop.catalog import CatalogItem, CatalogUser
from recloop.events import Action, Event
from recloop.settings import Settings
from recloop.tables import CLEAN_EVENTS, LABELS
from recloop.training_set import TrainingFile
from tests.lake import DAY_0, clean_frame, drop_tables, event, random_log
from tests.training.listed_source import ListedSource
from tests.training.same_numbers import assert_same

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]

MS = timedelta(milliseconds=1)
WINDOW = timedelta(hours=24)
UNTIL = DAY_0 + timedelta(days=7, hours=9, minutes=30)
LAKE_END = DAY_0 + timedelta(days=10)
KEYS = {
    TrainingFile.EXAMPLES: ("label_id", "item_id", "sampled"),
    TrainingFile.EXPOSURES: ("user_id", "item_id", "event_time_ms", "known_at_ms"),
    TrainingFile.INTERACTIONS: ("user_id", "event_time_ms", "event_hash"),
    TrainingFile.ITEMS: ("item_id",),
    TrainingFile.USERS: ("user_id",),
    TrainingFile.POPULARITY: ("segment",),
}


def make_source() -> ListedSource:
    """Return a log that goes on after the end; log and catalogue each have users and items that the other lacks."""
    draw = random.Random(5)
    log = [
        each.model_copy(
            update={
                "surface": draw.choice([None, "home", "search"]),
                "device": draw.choice([None, "web"]),
                "position": draw.choice([None, 0, 7]),
                "propensity": draw.choice([None, 0.25]) if each.action == Action.IMPRESSION else None,
            }
        )
        for each in random_log(3, n_events=1_500, n_users=12, n_items=40, days=9)
    ]
    # Of what came on the last day no row of features tells yet.
    log += [
        event(f"late-{user}-{action}", action, user=user, item=item, at=DAY_0 + timedelta(days=7, hours=8))
        for user, item in (("newcomer", "i3"), ("u1", "fresh"))
        for action in ("impression", "click")
    ]
    log += around_the_end()
    kinds = ("drama", "war", "art")
    items = [
        CatalogItem(
            item_id=f"i{n}",
            title=f"Item {n}" if n % 3 else None,
            categories=(kinds[n % 3], kinds[n % 2], "all")[: n % 4],
            author_id=f"a{n % 5}" if n % 7 else None,
            duration_ms=1_000 * n if n % 5 else None,
            published_at=DAY_0 - timedelta(days=n, microseconds=1) if n % 4 else None,
        )
        for n in range(1, 45)
    ]
    users = [
        CatalogUser(
            user_id=f"u{n}",
            segment=("x", "y", "all", None)[n % 4],
            age_group="18-24" if n % 2 else None,
            gender="F",
            attributes=({}, {"a": str(n)}, {"größe": "süß", "b": "1=2", "a": "x" * 70, "unknown": ""})[n % 5 % 3],
            updated_at=(None, DAY_0 + timedelta(days=6, hours=12, microseconds=1), UNTIL + timedelta(days=1))[n % 3],
        )
        for n in range(1, 15)
    ]
    return ListedSource(log, items, users)


def around_the_end() -> list[Event]:
    """Return impressions up to 30 hours before the end, each clicked or viewed before it, and liked or hidden after."""
    log = []
    for hours in range(1, 31):
        pair = {"user": f"u{hours % 12}", "item": f"i{40 + hours}"}
        shown_at, since = UNTIL - timedelta(hours=hours), UNTIL + hours % 2 * MS
        early = min(shown_at + timedelta(hours=10), UNTIL - MS)
        log += [
            event(f"shown-{hours}", "impression", at=shown_at, surface="home", **pair),
            event(f"early-{hours}", ("view", "click")[hours % 2], at=early, **pair),
            event(f"since-{hours}", ("like", "hide")[hours % 3 // 2], at=since, **pair),
        ]
    return log


def write_catalogue(source: ListedSource, folder: Path) -> Path:
    for name, rows in (("items", source.items()), ("users", source.users())):
        lines = [row.model_dump_json(exclude_none=True) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return folder


@dataclass(frozen=True)
class Built:
    """Two folders of the same log."""

    by_spark: Path
    by_source: Path

    def rows(self, file: TrainingFile) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return a file's rows of both, in the order of their keys."""
        tables = [pq.read_table(folder / file) for folder in (self.by_spark, self.by_source)]
        order = [(name, "ascending") for name in KEYS[file]]
        by_spark, by_source = (table.sort_by(order).to_pylist() for table in tables)
        return by_spark, by_source


@pytest.fixture(scope="module")
def built(spark: SparkSession, base_stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    from jobs.etl.apply_features import apply
    from jobs.etl.attribute_labels import label
    from jobs.etl.build_training_set import build_training_set
    from jobs.etl.compute_features import RUN_DELAY, compute_features
    from jobs.etl.lake import append
    from jobs.etl.land_catalog import land_catalog
    from training.source.build import build_source_set

    drop_tables(spark)
    source, folder = make_source(), tmp_path_factory.mktemp("sets")
    log: list[Event] = list(source.events())
    assert 100 < sum(each.event_time < UNTIL for each in log) < len(log) - 100
    assert log[-1].event_time < LAKE_END
    land_catalog(spark, write_catalogue(source, folder), now=LAKE_END)
    append(clean_frame(spark, log), CLEAN_EVENTS)
    label(spark, start=DAY_0, end=LAKE_END, window=WINDOW)
    apply(spark, base_stack)
    compute_features(spark, start=DAY_0, end=LAKE_END, now=LAKE_END, as_scheduled=True)
    build_training_set(spark, base_stack, until=UNTIL, out=folder / "by_spark")
    build_source_set(
        source, folder / "by_source", until=UNTIL, window=WINDOW, seed=base_stack.seed, run_delay=RUN_DELAY
    )
    yield Built(folder / "by_spark", folder / "by_source")
    drop_tables(spark)


@pytest.mark.parametrize("file", KEYS, ids=str)
def test_files_hold_the_same(built: Built, file: TrainingFile) -> None:
    by_spark, by_source = built.rows(file)
    assert len(by_spark) > 1
    assert [tuple(row[name] for name in KEYS[file]) for row in by_source] == [
        tuple(row[name] for name in KEYS[file]) for row in by_spark
    ]
    for expected, found in zip(by_spark, by_source, strict=True):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_same(found[name], value, (name, [expected[key] for key in KEYS[file]]))


@pytest.mark.parametrize("file", KEYS, ids=str)
def test_columns_have_the_same_order_and_types(built: Built, file: TrainingFile) -> None:
    by_spark, by_source = (pq.read_schema(folder / file) for folder in (built.by_spark, built.by_source))
    assert [(each.name, str(each.type)) for each in by_source] == [(each.name, str(each.type)) for each in by_spark]


def test_examples_are_in_the_same_order(built: Built) -> None:
    tables = [pq.read_table(folder / TrainingFile.EXAMPLES) for folder in (built.by_spark, built.by_source)]
    by_spark, by_source = (table.select(KEYS[TrainingFile.EXAMPLES]).to_pylist() for table in tables)
    assert by_source == by_spark


def test_log_has_what_the_rules_tell_apart(built: Built) -> None:
    rows = built.rows(TrainingFile.EXAMPLES)[1]
    assert {row["origin"] for row in rows} == {"impression", "organic"}
    assert {row["sampled"] for row in rows} == {True, False}
    for name in ("segment", "user_touches", "item_touches", "slate_id"):
        assert {row[name] is None for row in rows} == {True, False}, name
    assert {len(row["user_attributes"]) for row in rows if row["user_attributes"] is not None} == {0, 1, 3}
    assert None in [row["user_attributes"] for row in rows]
    shown = [row for row in rows if row["label_id"].startswith("shown-")]
    assert len(shown) == 30
    assert {(row["click"], row["like"], row["hide"]) for row in shown} == {(0, 0, 0), (1, 0, 0)}
    items = built.rows(TrainingFile.ITEMS)[1]
    # i0 is in the log only, i44 in the catalogue only.
    assert {"i0", "i44"} <= {row["item_id"] for row in items}


def test_snapshots_agree_but_for_where_the_rows_came_from(built: Built) -> None:
    facts = [json.loads((folder / TrainingFile.SNAPSHOT).read_text()) for folder in (built.by_spark, built.by_source)]
    # What the lake leaves out stands in its table of rejects.
    assert facts[1].pop("left_out") == {"malformed": 0, "repeated": 0}
    by_spark, by_source = ({name: each[name] for name in each if name != "snapshots"} for each in facts)
    assert by_source == by_spark
    assert LABELS.full_name in facts[0]["snapshots"]
    assert list(facts[1]["snapshots"]) == ["source.listed"]
