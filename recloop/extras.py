"""Columns of one bundle's ranking matrix beyond those that all have: what its users' attributes and statistics say.

The first columns of every matrix are `recloop.ranking.RANKING_FEATURES`; which attributes users have, and so these
columns, depends on the data a bundle was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from recloop.ranking import Context, Indices, Items, UserState, Vocabularies
from recloop.statistics import Statistics

ATTRIBUTE = "attribute:"
"""Prefix of a vocabulary that codes an attribute; an empty vocabulary says that the values are numbers."""

FOR_SLATE = "for_slate"
"""1 for a candidate of a slate, 0 for an item whose exposure is a fact: the same user clicks on the two differently."""


@dataclass(frozen=True)
class Extras:
    """Attributes to columns, in the order of their names, then statistics to columns."""

    vocabularies: Vocabularies
    statistics: Statistics

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes that have a column."""
        return tuple(sorted(name[len(ATTRIBUTE) :] for name in self.vocabularies.codes if name.startswith(ATTRIBUTE)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return (FOR_SLATE, *map(attribute_column, self.attributes), *self.statistics.names)

    def columns(self, user: UserState, items: Items, rows: Indices, *, context: Context) -> NDArray[np.float32]:
        """Return float32 [len(rows), len(names)] for the candidates of one request."""
        own = np.concatenate([[1.0], self.attribute_row(user.attributes)]).astype(np.float32)
        known = self.statistics.columns(user, items, rows, context=context)
        return np.hstack([np.broadcast_to(own, (len(rows), len(own))), known])

    def attribute_row(self, attributes: Mapping[str, str]) -> NDArray[np.float32]:
        """Return one number per attribute: the value's code or the number itself, NaN where unknown or unseen."""
        return np.array([self._code(name, attributes.get(name)) for name in self.attributes], dtype=np.float32)

    def _code(self, name: str, value: str | None) -> float:
        if value is None:
            return float("nan")
        codes = self.vocabularies.codes[ATTRIBUTE + name]
        return codes.get(value, float("nan")) if codes else as_number(value)


def attribute_column(name: str) -> str:
    """Return the column of an attribute, with or without its prefix; another attribute has another one.

    LightGBM allows no comma, colon, quote or bracket in it, and makes spaces underscores.

    >>> attribute_column("first visit"), attribute_column("first-visit"), attribute_column("attribute:first_visit")
    ('attribute_first%20visit', 'attribute_first-visit', 'attribute_first_visit')
    """
    return f"attribute_{quote(name.removeprefix(ATTRIBUTE), safe='')}"


def as_number(text: str) -> float:
    """Return the number a text says, NaN when it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
