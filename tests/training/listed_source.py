"""A data source out of lists, for logs that a test writes itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from recloop.catalog import CatalogItem, CatalogUser
from recloop.events import Event


@dataclass
class ListedSource:
    """An adapter, as `recloop.sources` has them: events oldest first, in the order given at one moment."""

    log: Sequence[Event]
    catalogue: Sequence[CatalogItem] = ()
    people: Sequence[CatalogUser] = ()

    name: str = "listed"
    terms: str = "Made up."
    utc_offset: timedelta = timedelta(0)
    repeated: int = 0
    malformed: Sequence[bytes] = ()
    reason: str = ""

    def events(self) -> Iterator[Event]:
        yield from sorted(self.log, key=lambda event: event.event_time)

    def items(self) -> Iterator[CatalogItem]:
        yield from self.catalogue

    def users(self) -> Iterator[CatalogUser]:
        yield from self.people
