"""Run a suite on one Spark DataFrame, inside the job that is about to publish it.

A failed critical expectation raises and nothing is published; a failed warning is reported in the job's last line.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from recloop.errors import ValidationFailed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Severity(StrEnum):
    """What a failed expectation means; the values are Great Expectations' own."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True)
class Rule:
    """One expectation: `kind` is the class name in great_expectations.expectations, `options` its arguments.

    `where` is a column and the value that rows must have in it to be looked at.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    severity: Severity = Severity.CRITICAL
    where: tuple[str, str] | None = None


@dataclass(frozen=True)
class Suite:
    """The expectations of one table."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Report:
    """What one validation found: a sentence per failed expectation."""

    suite: str
    critical: tuple[str, ...]
    warnings: tuple[str, ...]


def check(frame: DataFrame, suite: Suite) -> list[str]:
    """Validate and return the warnings.

    Raises:
        ValidationFailed: a critical expectation does not hold.
    """
    report = validate(frame, suite)
    for sentence in report.warnings:
        print(f"warning: {sentence}")
    if report.critical:
        raise ValidationFailed(
            f"{'; '.join(report.critical)}. Nothing was published, the table keeps its last good snapshot. "
            "Find the sender or the job that wrote these rows, correct them and run this step again."
        )
    return list(report.warnings)


def validate(frame: DataFrame, suite: Suite) -> Report:
    """Run a suite on a DataFrame; cache it before, for it is read more than once.

    The first pass asks yes or no, which Great Expectations answers from few aggregations; only what failed is run again
    for a summary. All summaries at once cost three times as much.
    """
    failed = [rule for rule, outcome in _run(frame, suite, "BOOLEAN_ONLY") if not outcome.success]
    outcomes = _run(frame, Suite(suite.name, tuple(failed)), "SUMMARY") if failed else []
    found = [(rule.severity, _sentence(suite.name, outcome)) for rule, outcome in outcomes]
    return Report(
        suite.name,
        tuple(text for severity, text in found if severity is Severity.CRITICAL),
        tuple(text for severity, text in found if severity is Severity.WARNING),
    )


def _run(frame: DataFrame, suite: Suite, result_format: str) -> list[tuple[Rule, Any]]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
    source = context.data_sources.add_or_update_spark("lake")
    batch = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
    expectations = [_expectation(rule, place) for place, rule in enumerate(suite.rules)]
    rules = context.suites.add(gx.ExpectationSuite(name=suite.name, expectations=expectations))
    definition = gx.ValidationDefinition(name=suite.name, data=batch, suite=rules)
    result = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame}, result_format=result_format
    )
    return [(suite.rules[outcome.expectation_config.meta["place"]], outcome) for outcome in result.results]


def _expectation(rule: Rule, place: int) -> Any:
    import great_expectations as gx
    from great_expectations.expectations.row_conditions import Column

    options = dict(rule.options)
    if rule.where:
        name, value = rule.where
        options["row_condition"] = Column(name) == value
    return getattr(gx.expectations, rule.kind)(**options, severity=rule.severity.value, meta={"place": place})


def _sentence(suite: str, outcome: Any) -> str:
    config, found = outcome.expectation_config, outcome.result or {}
    options = {key: value for key, value in config.kwargs.items() if key != "batch_id"}
    if outcome.exception_info and outcome.exception_info.get("exception_message"):
        seen = str(outcome.exception_info["exception_message"])
    elif "unexpected_count" in found:
        examples = found.get("partial_unexpected_list", [])[:3]
        seen = f"{found['unexpected_count']} of {found.get('element_count')} rows differ, e.g. {examples}"
    else:
        seen = f"found {found.get('observed_value')}"
    return f"{suite}: {config.type} {options}: {seen}"
