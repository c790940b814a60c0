"""What clean events must be before `clean.events` is published."""

from __future__ import annotations

from expectations.run import Rule, Severity, Suite
from recloop.events import Action
from recloop.tables import Column

_REQUIRED = (
    Column.EVENT_ID, Column.EVENT_TIME, Column.EVENT_DATE, Column.INGEST_TIME, Column.ACTION, Column.USER_ID,
    Column.ITEM_ID,
)  # fmt: skip

_ACTIONS = [str(each) for each in Action]

SUITE = Suite(
    "clean_events",
    (
        *(Rule("ExpectColumnValuesToNotBeNull", {"column": column.value}) for column in _REQUIRED),
        Rule("ExpectColumnValuesToBeUnique", {"column": Column.EVENT_ID.value}),
        Rule("ExpectColumnValuesToBeInSet", {"column": Column.ACTION.value, "value_set": _ACTIONS}),
        # The event model's own bounds again: a reader of the table must not have to trust the job that wrote it.
        Rule("ExpectColumnValuesToBeBetween", {"column": Column.PROPENSITY.value, "min_value": 0, "max_value": 1}),
        Rule("ExpectColumnValuesToBeBetween", {"column": Column.POSITION.value, "min_value": 0}),
        Rule("ExpectColumnValuesToBeBetween", {"column": Column.DWELL_MS.value, "min_value": 0}),
        # An impression without its slate cannot be joined exactly to what it caused.
        Rule(
            "ExpectColumnValuesToNotBeNull",
            {"column": Column.SLATE_ID.value, "mostly": 0.99},
            Severity.WARNING,
            where=(Column.ACTION.value, str(Action.IMPRESSION)),
        ),
    ),
)
