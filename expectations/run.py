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
    """One expectation: `kind` is the class name in great_expectations.expectations, `options` its arguments."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    severity: Severity = Severity.CRITICAL


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
    """Run a suite on a DataFrame; cache it before, for each expectation reads it."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
    source = context.data_sources.add_or_update_spark("lake")
    batch = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
    expectations = [
        getattr(gx.expectations, rule.kind)(**rule.options, severity=rule.severity.value) for rule in suite.rules
    ]
    rules = gx.ExpectationSuite(name=suite.name, expectations=expectations)
    definition = gx.ValidationDefinition(name=suite.name, data=batch, suite=context.suites.add(rules))
    definition = context.validation_definitions.add(definition)
    result = definition.run(batch_parameters={"dataframe": frame}, result_format="SUMMARY")
    failed = [_sentence(suite.name, outcome) for outcome in result.results if not outcome.success]
    return Report(
        suite.name,
        tuple(text for severity, text in failed if severity == Severity.CRITICAL),
        tuple(text for severity, text in failed if severity != Severity.CRITICAL),
    )


def _sentence(suite: str, outcome: Any) -> tuple[str, str]:
    config, found = outcome.expectation_config, outcome.result or {}
    options = {key: value for key, value in config.kwargs.items() if key != "batch_id"}
    if outcome.exception_info and outcome.exception_info.get("exception_message"):
        seen = str(outcome.exception_info["exception_message"])
    elif "unexpected_count" in found:
        examples = found.get("partial_unexpected_list", [])[:3]
        seen = f"{found['unexpected_count']} of {found.get('element_count')} rows differ, e.g. {examples}"
    else:
        seen = f"found {found.get('observed_value')}"
    return str(config.severity), f"{suite}: {config.type} {options}: {seen}"
