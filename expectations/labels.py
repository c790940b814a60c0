"""What label rows must be before `clean.labels` is published."""

from __future__ import annotations

from expectations.run import Rule, Severity, Suite
from recloop.labels import Head
from recloop.tables import Column, Origin

_REQUIRED = (Column.LABEL_ID, Column.ORIGIN, Column.EVENT_TIME, Column.EVENT_DATE, Column.USER_ID, Column.ITEM_ID)

_ORIGINS = [str(each) for each in Origin]

SUITE = Suite(
    "labels",
    (
        *(Rule("ExpectColumnValuesToNotBeNull", {"column": column.value}) for column in _REQUIRED),
        Rule("ExpectColumnValuesToBeUnique", {"column": Column.LABEL_ID.value}),
        Rule("ExpectColumnValuesToBeInSet", {"column": Column.ORIGIN.value, "value_set": _ORIGINS}),
        *(Rule("ExpectColumnValuesToNotBeNull", {"column": str(head)}) for head in Head),
        *(Rule("ExpectColumnValuesToBeInSet", {"column": str(head), "value_set": [0, 1]}) for head in Head),
        # Nothing clicked at all in a batch of labels: the interactions of those impressions did not arrive.
        Rule("ExpectColumnMaxToBeBetween", {"column": str(Head.CLICK), "min_value": 1}, Severity.WARNING),
    ),
)  # fmt: skip
