"""A made-up log with a pattern that models can find: each user likes one of three kinds of items and hides another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recloop.catalog import CatalogItem, CatalogUser
from recloop.events import Action, Event
from training.data.dataset import TrainingSet
from training.source.build import build_source_set

START = datetime(2024, 3, 1, tzinfo=UTC)
N_USERS, N_ITEMS, N_EVENTS, N_DAYS = 60, 60, 3_000, 30
KINDS = ("red", "green", "blue")


class SyntheticSource:
    """An adapter, as `recloop.sources` has them."""

    name = "synthetic"
    malformed: Sequence[bytes] = ()
    reason = ""
    repeated = 0

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


def write_training_set(out: Path) -> Path:
    """Write the log as a training-set folder."""
    until = START + timedelta(days=N_DAYS)
    build_source_set(SyntheticSource(), out, until=until, window=timedelta(hours=24), seed=5)
    return out


def with_untouched(training_set: TrainingSet, untouched: NDArray[np.bool_]) -> TrainingSet:
    """Return the set without what was done with some items in the base span."""
    log = training_set.interactions
    kept = ~(untouched[log.items] & (log.times_ms < training_set.split.stack_ms))
    users = np.repeat(np.arange(len(log.user_ids)), np.diff(log.starts))
    sizes = np.bincount(users[kept], minlength=len(log.user_ids))
    parts = {name: getattr(log, name)[kept] for name in ("items", "actions", "times_ms", "dwell_ms")}
    return dataclasses.replace(
        training_set, interactions=dataclasses.replace(log, starts=np.r_[0, np.cumsum(sizes)], **parts)
    )
