"""Each suite lets good rows pass and catches the row it is there for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from expectations import clean_events, features, labels, raw_events
from expectations.run import Severity, Suite, validate
from recloop.features import ITEM_DAILY, SEGMENT_DAILY, USER_DAILY
from recloop.tables import CLEAN_EVENTS, LABELS, Table
from tests.lake import DAY_0, clean_frame, event, frame_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GOOD_LABEL = {
    "label_id": "l", "origin": "impression", "event_time": DAY_0, "event_date": DAY_0.date(), "user_id": "u",
    "item_id": "i", "click": 1, "long_view": 0, "like": 0, "hide": 0,
}  # fmt: skip
GOOD_ITEM = {
    "item_id": "i", "feature_time": DAY_0, "created_at": DAY_0, "item_touches": 1.0, "item_click_rate": 0.5,
    "item_long_view_rate": 0.5, "item_like_rate": 0.5, "item_hide_rate": 0.5, "item_popularity": 1.0,
    "item_first_ms": 1, "item_feature_ms": 1,
}  # fmt: skip


def failures(spark: SparkSession, suite: Suite, table: Table, *rows: dict[str, Any]) -> tuple[str, ...]:
    """Return the failed expectations, critical ones first."""
    full = [tuple(row.get(str(name)) for name in table.columns) for row in rows]
    report = validate(frame_of(spark, full, table.ddl).cache(), suite)
    return report.critical + report.warnings


def test_raw_suite_judges_shares_of_large_batches_only() -> None:
    small, large = raw_events.suite(raw_events.MIN_ROWS - 1), raw_events.suite(raw_events.MIN_ROWS)
    assert [rule.options.get("mostly") for rule in small.rules] == [None]
    assert [(rule.options.get("mostly"), rule.severity) for rule in large.rules[1:]] == [
        (0.5, Severity.CRITICAL),
        (0.99, Severity.WARNING),
    ]


def test_every_batch_view_requires_its_keys_and_numbers() -> None:
    for view in (USER_DAILY, ITEM_DAILY, SEGMENT_DAILY):
        required = {rule.options["column"] for rule in features.suite(view).rules if "NotBeNull" in rule.kind}
        assert {view.entity.value, "feature_time", "created_at"} <= required
        assert {spec.name for spec in view.features if spec.kind == "float"} <= required


@pytest.mark.spark
@pytest.mark.stack
class TestOnRows:
    def test_clean_events(self, spark: SparkSession) -> None:
        good = event("a", "impression", slate_id="s", propensity=0.5, position=0)
        assert validate(clean_frame(spark, [good]).cache(), clean_events.SUITE).critical == ()
        twice = validate(clean_frame(spark, [good, good]).cache(), clean_events.SUITE)
        assert "expect_column_values_to_be_unique" in twice.critical[0]
        row = good.model_dump() | {"event_date": DAY_0.date(), "ingest_time": DAY_0, "action": "stare"}
        assert "in_set" in failures(spark, clean_events.SUITE, CLEAN_EVENTS, row)[0]

    def test_impressions_without_a_slate_are_a_warning(self, spark: SparkSession) -> None:
        report = validate(
            clean_frame(spark, [event("a", "impression"), event("b", "click")]).cache(), clean_events.SUITE
        )
        assert report.critical == ()
        assert len(report.warnings) == 1
        assert "slate_id" in report.warnings[0]

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({}, None),
            ({"origin": "rumour"}, "in_set"),
            ({"like": 2}, "in_set"),
            ({"click": None}, "null"),
            ({"click": 0}, "expect_column_max"),
        ],
    )
    def test_labels(self, spark: SparkSession, change: dict[str, Any], found: str | None) -> None:
        failed = failures(spark, labels.SUITE, LABELS, GOOD_LABEL | change)
        assert failed == () if found is None else found in failed[0]

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({}, None),
            ({"item_click_rate": 1.5}, "item_click_rate"),
            ({"item_touches": -1.0}, "item_touches"),
            ({"item_hide_rate": None}, "item_hide_rate"),
            ({"created_at": None}, "created_at"),
        ],
    )
    def test_features(self, spark: SparkSession, change: dict[str, Any], found: str | None) -> None:
        failed = failures(spark, features.suite(ITEM_DAILY), ITEM_DAILY.table, GOOD_ITEM | change)
        assert failed == () if found is None else found in failed[0]
