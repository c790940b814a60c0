"""Make a training-set folder from a source without Spark: the kernel's label rule and decayed sums, day by day.

In: any `recloop.sources` adapter. Out: the files of `recloop.training_set`. The numbers are those of
`recloop.aggregates`, kept up to date event by event, so that a whole data set takes seconds.
Run: python -m tests.training.folder_builder --data movielens --out DIR
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recloop.aggregates import PREFERENCE
from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import MS_PER_DAY, to_ms
from recloop.events import Action, Event
from recloop.features import (
    EVERYONE,
    HALF_LIFE_DAYS,
    ITEM_DAILY,
    POPULARITY_HALF_LIFE_DAYS,
    PRIOR_RATES,
    PRIOR_TOUCHES,
    USER_DAILY,
    contract_id,
)
from recloop.labels import Head, attribute, outcome
from recloop.sequences import event_hash
from recloop.splits import TimeSplit, split_by_time
from recloop.training_set import EXAMPLE_COLUMNS, LABEL_COLUMNS, TrainingFile

N_NEGATIVES = 4


@dataclass
class Sums:
    """Decayed sums of one user or item, as of the end of day `day`."""

    day: int = 0
    touches: float = 0.0
    heads: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PRIOR_RATES, 0.0))
    days: float = 0.0
    clicks: float = 0.0
    first_ms: int | None = None
    last_ms: int | None = None
    categories: dict[str, float] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def age_to(self, day: int) -> None:
        """Fade everything to a later day."""
        slow, fast = (0.5 ** ((day - self.day) / life) for life in (HALF_LIFE_DAYS, POPULARITY_HALF_LIFE_DAYS))
        if day != self.day:
            self.days = self.days * slow + 1
        self.touches, self.clicks, self.day = self.touches * slow, self.clicks * fast, day
        self.heads = {head: value * slow for head, value in self.heads.items()}
        self.categories = {name: value * slow for name, value in self.categories.items()}

    def add(self, heads: set[Head], at: tuple[int, int], categories: Iterable[str]) -> None:
        """Add one touch of the day."""
        self.touches += 1
        self.clicks += Head.CLICK in heads
        for head in self.heads:
            self.heads[head] += Head(head) in heads
        self.first_ms = at[0] if self.first_ms is None else min(self.first_ms, at[0])
        self.last_ms = at[1] if self.last_ms is None else max(self.last_ms, at[1])
        best = max((PREFERENCE[head] for head in heads if PREFERENCE.get(head, 0) > 0), default=0.0)
        preference = best + PREFERENCE[Head.HIDE] * (Head.HIDE in heads)
        for category in categories:
            self.categories[category] = self.categories.get(category, 0.0) + preference

    def row(self, prefix: str) -> dict[str, Any]:
        """Return the features of a row written at the end of `day`."""
        rates = {
            f"{prefix}_{head}_rate": (self.heads[head] + PRIOR_TOUCHES * prior) / (self.touches + PRIOR_TOUCHES)
            for head, prior in PRIOR_RATES.items()
        }
        feature_ms = (self.day + 1) * MS_PER_DAY
        if prefix == "item":
            return {"item_touches": self.touches, **rates, "item_popularity": self.clicks,
                    "item_first_ms": self.first_ms, "item_feature_ms": feature_ms}  # fmt: skip
        ranked = sorted(self.categories.items(), key=lambda pair: (-abs(pair[1]), pair[0]))[:20]
        ranked = [(name, value / abs(ranked[0][1])) for name, value in ranked if abs(value) > 1e-6]
        return {
            "user_touches": self.touches, **rates, "user_active_days": self.days, "user_last_ms": self.last_ms,
            "user_categories": [name for name, _ in ranked], "user_category_weights": [value for _, value in ranked],
            "user_seen_items": sorted(self.seen, key=lambda item: (-self.seen[item], item))[:2000],
            "user_feature_ms": feature_ms,
        }  # fmt: skip


class Builder:
    """Walks the log day by day and writes what was known at each label's moment."""

    def __init__(self, events: Sequence[Event], items: Sequence[CatalogItem], users: Sequence[CatalogUser]) -> None:
        self.events, self.items = events, items
        self.users = {user.user_id: user for user in users}
        self.categories = {item.item_id: item.categories for item in items}
        self.sums: dict[str, dict[str, Sums]] = {"user": defaultdict(Sums), "item": defaultdict(Sums)}
        self.interactions = [event for event in events if event.action != Action.IMPRESSION]
        times = [to_ms(event.event_time) for event in self.interactions]
        self.split: TimeSplit = split_by_time(times, end_ms=max(times) + 1)
        self.generator = np.random.default_rng(0)
        self.touched: dict[str, set[str]] = defaultdict(set)
        for event in self.interactions:
            self.touched[event.user_id].add(event.item_id)

    def write(self, out: Path, *, max_labels: int) -> None:
        """Write all files."""
        out.mkdir(parents=True, exist_ok=True)
        days: dict[int, list[Event]] = defaultdict(list)
        for event in self.events:
            days[to_ms(event.event_time) // MS_PER_DAY].append(event)
        labels = attribute(self.events, window=timedelta(hours=24))
        labels = [row for row in labels if to_ms(row.cause.event_time) >= self.split.stack_ms][-max_labels:]
        by_day: dict[int, list[Any]] = defaultdict(list)
        for row in labels:
            by_day[to_ms(row.cause.event_time) // MS_PER_DAY].append(row)
        examples: list[dict[str, Any]] = []
        frozen = False
        for day in sorted(days):
            if not frozen and (day + 1) * MS_PER_DAY > self.split.holdout_ms:
                self._write_catalogue(out)
                frozen = True
            examples += [example for row in by_day[day] for example in self._examples(row)]
            self._apply(day, days[day])
        self._write_rest(out, examples)

    def _apply(self, day: int, events: list[Event]) -> None:
        touches: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in events:
            touches[event.user_id, event.item_id].append(event)
        for (user_id, item_id), group in touches.items():
            heads = {head for event in group for head, positive in outcome(event).items() if positive}
            times = [to_ms(event.event_time) for event in group]
            interacted = [to_ms(event.event_time) for event in group if event.action != Action.IMPRESSION]
            for kind, key in (("user", user_id), ("item", item_id)):
                sums = self.sums[kind][key]
                if sums.day != day:
                    sums.age_to(day)
                sums.add(heads, (min(times), max(times)), self.categories.get(item_id, ()) if kind == "user" else ())
                if kind == "user" and interacted:
                    sums.seen[item_id] = max(interacted)

    def _known(self, kind: str, key: str) -> dict[str, Any]:
        names = (USER_DAILY if kind == "user" else ITEM_DAILY).names
        sums = self.sums[kind].get(key)
        return dict.fromkeys(names) if sums is None else sums.row(kind)

    def _examples(self, row: Any) -> list[dict[str, Any]]:
        event = row.cause
        user = self.users.get(event.user_id)
        base = {
            "label_id": event.event_id, "origin": str(row.origin), "event_time_ms": to_ms(event.event_time),
            "user_id": event.user_id, "slate_id": event.slate_id, "position": event.position,
            "propensity": event.propensity, "surface": event.surface, "device": event.device,
            "segment": user and user.segment, "age_group": user and user.age_group, "gender": user and user.gender,
            **self._known("user", event.user_id),
        }  # fmt: skip
        labels = {column: int(Head(column) in row.outcomes) for column in LABEL_COLUMNS}
        found = [{**base, **labels, "item_id": event.item_id, "sampled": False, **self._known("item", event.item_id)}]
        if labels[Head.CLICK]:
            zeros = dict.fromkeys(LABEL_COLUMNS, 0)
            found += [
                {**base, **zeros, "item_id": item_id, "sampled": True, **self._known("item", item_id)}
                for item_id in self._negatives(event.user_id)
            ]
        return found

    def _negatives(self, user_id: str) -> list[str]:
        if not hasattr(self, "_drawn") or self._drawn_at + 5_000 < len(self._drawn):
            known = list(self.sums["item"])
            weights = np.array([self.sums["item"][item].touches for item in known]) ** 0.75
            self._drawn = [known[i] for i in self.generator.choice(len(known), 20_000, p=weights / weights.sum())]
            self._drawn_at = 0
        found: list[str] = []
        while len(found) < N_NEGATIVES and self._drawn_at < len(self._drawn):
            item_id = self._drawn[self._drawn_at]
            self._drawn_at += 1
            if item_id not in self.touched[user_id] and item_id not in found:
                found.append(item_id)
        return found

    def _write_catalogue(self, out: Path) -> None:
        rows = [
            {
                "item_id": item.item_id, "title": item.title, "categories": list(item.categories),
                "author_id": item.author_id, "duration_ms": item.duration_ms,
                "published_ms": to_ms(item.published_at) if item.published_at else None,
                **self._known("item", item.item_id),
            }
            for item in sorted(self.items, key=lambda item: item.item_id)
        ]  # fmt: skip
        _write(out / TrainingFile.ITEMS, rows)
        weights: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        end_day = self.split.holdout_ms // MS_PER_DAY
        for event in self.interactions:
            day = to_ms(event.event_time) // MS_PER_DAY
            if day < end_day and outcome(event)[Head.CLICK]:
                user = self.users.get(event.user_id)
                for segment in {EVERYONE, user.segment if user else None} - {None}:
                    weights[str(segment)][event.item_id] += 0.5 ** ((end_day - 1 - day) / POPULARITY_HALF_LIFE_DAYS)
        popular = []
        for segment, sums in sorted(weights.items()):
            ranked = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))[:200]
            popular.append({"segment": segment, "popular_items": [item for item, _ in ranked],
                            "popular_weights": [weight for _, weight in ranked],
                            "feature_time_ms": end_day * MS_PER_DAY})  # fmt: skip
        _write(out / TrainingFile.POPULARITY, popular)

    def _write_rest(self, out: Path, examples: list[dict[str, Any]]) -> None:
        _write(out / TrainingFile.EXAMPLES, [{name: row[name] for name in EXAMPLE_COLUMNS} for row in examples])
        rows = [
            {"user_id": event.user_id, "item_id": event.item_id, "action": str(event.action),
             "event_time_ms": to_ms(event.event_time), "dwell_ms": event.dwell_ms or 0,
             "event_hash": event_hash(event.event_id)}
            for event in self.interactions
        ]  # fmt: skip
        rows.sort(key=lambda row: (row["user_id"], row["event_time_ms"], row["event_hash"]))
        _write(out / TrainingFile.INTERACTIONS, rows)
        users = [
            {"user_id": user.user_id, "segment": user.segment, "age_group": user.age_group, "gender": user.gender}
            for user in self.users.values()
        ]
        _write(out / TrainingFile.USERS, users)
        split = self.split
        snapshot = {
            "until_ms": split.end_ms,
            "split": {"start_ms": split.start_ms, "stack_ms": split.stack_ms, "holdout_ms": split.holdout_ms,
                      "end_ms": split.end_ms},
            "snapshots": {"lake.clean.events": "1"}, "feature_service": "ranking_v1", "contract_id": contract_id(),
            "counts": {"examples": len(examples), "interactions": len(rows)}, "seed": 0,
        }  # fmt: skip
        (out / TrainingFile.SNAPSHOT).write_text(json.dumps(snapshot))


_TYPES = {"categories": pa.list_(pa.string()), "user_categories": pa.list_(pa.string()),
          "user_category_weights": pa.list_(pa.float32()), "user_seen_items": pa.list_(pa.string()),
          "title": pa.string(), "author_id": pa.string(), "slate_id": pa.string(), "surface": pa.string(),
          "device": pa.string(), "segment": pa.string(), "age_group": pa.string(), "gender": pa.string(),
          "duration_ms": pa.int64(), "published_ms": pa.int64(), "position": pa.int32(),
          "propensity": pa.float64()}  # fmt: skip


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = {name: pa.array([row[name] for row in rows], type=_TYPES.get(name)) for name in rows[0]}
    pq.write_table(pa.table(columns), path, compression="zstd")


def build(source: Any, out: Path, *, max_labels: int = 60_000, n_users: int | None = None) -> None:
    """Write the folder for a source, or for its first `n_users` users by id."""
    events, users = list(source.events()), list(source.users())
    if n_users is not None:
        kept = set(sorted({event.user_id for event in events})[:n_users])
        events = [event for event in events if event.user_id in kept]
        users = [user for user in users if user.user_id in kept]
    used = {event.item_id for event in events}
    items = [item for item in source.items() if n_users is None or item.item_id in used]
    active = {event.user_id for event in events}
    Builder(events, items, [user for user in users if user.user_id in active]).write(out, max_labels=max_labels)


def main(argv: Sequence[str] | None = None) -> int:
    from recloop.sources.kuairand import KuaiRand
    from recloop.sources.movielens import MovieLens

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--downloads", type=Path, default=Path("var/downloads"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    name, _, folder = args.data.partition(":")
    build(MovieLens(args.downloads) if name == "movielens" else KuaiRand(Path(folder)), args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
