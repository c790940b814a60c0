"""A made-up log with a pattern that models can find: each user likes one of three kinds of items and hides another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from recloop.catalog import CatalogItem, CatalogUser
from recloop.events import Action, Event

START = datetime(2024, 3, 1, tzinfo=UTC)
N_USERS, N_ITEMS, N_EVENTS, N_DAYS = 60, 60, 3_000, 30
KINDS = ("red", "green", "blue")


class SyntheticSource:
    """An adapter, as `recloop.sources` has them."""

    name = "synthetic"

    def events(self) -> Iterator[Event]:
        """Yield organic interactions, oldest first; a user meets an item once."""
        generator = np.random.default_rng(3)
        times = np.sort(generator.integers(0, N_DAYS * 86_400, size=N_EVENTS))
        met: set[tuple[int, int]] = set()
        for place, seconds in enumerate(times):
            user, item = int(generator.integers(N_USERS)), int(min(generator.geometric(0.05) - 1, N_ITEMS - 1))
            if generator.random() < 0.7:
                item -= (item - user) % 3  # mostly of the user's own kind
            item = max(item, 0)
            if (user, item) in met:
                continue
            met.add((user, item))
            liked, hidden = item % 3 == user % 3, item % 3 == (user + 1) % 3
            action = Action.SAVE if liked and generator.random() < 0.7 else Action.HIDE if hidden else Action.CLICK
            yield Event(
                event_id=f"e{place}", event_time=START + timedelta(seconds=int(seconds)), action=action,
                user_id=f"u{user:02}", item_id=f"i{item:02}", surface="home" if place % 2 else "search",
            )  # fmt: skip

    def items(self) -> Iterator[CatalogItem]:
        """Yield the items; one has no category and no publication."""
        for item in range(N_ITEMS):
            known = item != 7
            yield CatalogItem(
                item_id=f"i{item:02}", title=f"Item {item}", categories=(KINDS[item % 3],) if known else (),
                published_at=START - timedelta(days=item) if known else None,
            )  # fmt: skip

    def users(self) -> Iterator[CatalogUser]:
        """Yield the users, one without a segment."""
        for user in range(N_USERS):
            yield CatalogUser(user_id=f"u{user:02}", segment=None if user == 0 else f"group {user % 2}")
