"""What the rows of a feature view must be before the offline store gets them; derived from its FeatureSpecs."""

from __future__ import annotations

from expectations.run import Rule, Severity, Suite
from recloop.features import ITEM_DAILY, SEGMENT_DAILY, USER_DAILY, FeatureView, Kind
from recloop.tables import Column


def suite(view: FeatureView) -> Suite:
    """Return the suite of a view: keys and times there, rates within [0, 1], sums not negative."""
    required = [view.entity.value, Column.FEATURE_TIME.value, Column.CREATED_AT.value]
    rules = [Rule("ExpectColumnValuesToNotBeNull", {"column": column}) for column in required]
    for spec in view.features:
        if spec.kind is Kind.FLOAT:
            top = {"max_value": 1} if spec.name.endswith("_rate") else {}
            rules.append(Rule("ExpectColumnValuesToNotBeNull", {"column": spec.name}))
            rules.append(Rule("ExpectColumnValuesToBeBetween", {"column": spec.name, "min_value": 0, **top}))
    return Suite(view.name, (*rules, *_OWN.get(view.name, ())))


_OWN = {
    USER_DAILY.name: (
        # A user's rows come from touches of that day: more than some thousands a day is a robot, or a loop in a client.
        Rule("ExpectColumnValuesToBeBetween", {"column": "user_touches", "max_value": 5_000}, Severity.WARNING),
    ),
    ITEM_DAILY.name: (Rule("ExpectColumnValuesToNotBeNull", {"column": "item_first_ms"}),),
    SEGMENT_DAILY.name: (Rule("ExpectColumnValuesToNotBeNull", {"column": "popular_items"}),),
}
