"""What raw events must be, told by how many of them parse: run by clean_events on the parsed rows."""

from __future__ import annotations

from expectations.run import Rule, Severity, Suite
from recloop.tables import Column

MIN_ROWS = 100
"""Below so many rows a share says nothing: three bad events among five are no broken sender."""


def suite(n_rows: int) -> Suite:
    """Return the suite for a batch of `n_rows`: most rows must parse, nearly all should."""
    rules = [Rule("ExpectColumnValuesToNotBeNull", {"column": Column.INGEST_TIME.value})]
    if n_rows >= MIN_ROWS:
        rules += [
            Rule("ExpectColumnValuesToBeNull", {"column": Column.FIELD.value, "mostly": 0.5}),
            Rule("ExpectColumnValuesToBeNull", {"column": Column.FIELD.value, "mostly": 0.99}, Severity.WARNING),
        ]
    return Suite("raw_events", tuple(rules))
