"""Running suites: critical stops, warnings are told, each message has what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from expectations.run import Rule, Severity, Suite, check, validate
from recloop.errors import ValidationFailed
from tests.lake import frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]
NOT_NULL = Rule("ExpectColumnValuesToNotBeNull", {"column": "x"})
SMALL = Rule("ExpectColumnValuesToBeBetween", {"column": "x", "max_value": 5}, Severity.WARNING)


def numbers(spark: SparkSession, *values: int | None) -> DataFrame:
    return frame_of(spark, [(value,) for value in values], "x int")


def test_good_rows_pass(spark: SparkSession) -> None:
    report = validate(numbers(spark, 1, 2), Suite("t", (NOT_NULL, SMALL)))
    assert (report.critical, report.warnings) == ((), ())


def test_failed_warning_is_told_and_does_not_stop(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    warnings = check(numbers(spark, 1, 9), Suite("t", (NOT_NULL, SMALL)))
    assert len(warnings) == 1
    assert "1 of 2 rows differ, e.g. [9]" in warnings[0]
    assert f"warning: {warnings[0]}" in capsys.readouterr().out


def test_failed_critical_expectation_stops_and_says_what_was_found(spark: SparkSession) -> None:
    with pytest.raises(
        ValidationFailed, match=r"t: expect_column_values_to_not_be_null .*1 of 2 rows.*Nothing was pub"
    ):
        check(numbers(spark, None, 9), Suite("t", (NOT_NULL, SMALL)))


def test_expectation_that_cannot_run_counts_as_failed(spark: SparkSession) -> None:
    report = validate(numbers(spark, 1), Suite("t", (Rule("ExpectColumnValuesToNotBeNull", {"column": "missing"}),)))
    assert len(report.critical) == 1
    assert "missing" in report.critical[0]
