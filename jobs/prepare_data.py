"""Write a data source as the files that the loop ingests: a history to backfill and a newest part to replay live.

In: a source (`movielens`, `movielens:DIR`, `kuairand:DIR`, `events:DIR`). Out: in the folder OUT
history/{events,items,users}.jsonl, live/events.jsonl and source.json with name, terms, counts and spans.
Run: python -m jobs.prepare_data --data movielens --out var/data/demo --live 2000 --shift-to-now
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from recloop import cli
from recloop.clock import SystemClock, format_time, from_ms, to_ms
from recloop.errors import SourceError
from recloop.events import Event
from recloop.settings import load_settings
from recloop.sources import FORMS, Source, open_source
from recloop.sources.base import shift_event, shift_item


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare one source; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m jobs.prepare_data", description=__doc__)
    parser.add_argument("--data", default="movielens", help=FORMS)
    parser.add_argument("--out", type=Path, required=True, help="folder to write; replaced as a whole")
    parser.add_argument(
        "--live",
        type=count_or_share,
        default=2_000,
        help="how many of the newest events to replay; below 1: which share",
    )
    parser.add_argument("--limit", type=count, default=0, help="take only so many of the newest events; 0: all")
    parser.add_argument("--shift-to-now", action="store_true", help="move the log in time so that it ends now")
    args = parser.parse_args(argv)
    return cli.run(lambda: prepare(args))


def count(text: str) -> int:
    """Parse a number of events."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 0")
    return int(text)


def count_or_share(text: str) -> float:
    """Parse a number of events, or a share of them.

    >>> count_or_share("2000"), count_or_share("0.05")
    (2000, 0.05)
    """
    if "." not in text:
        return count(text)
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number or a share between 0 and 1")
    return value


def prepare(args: argparse.Namespace) -> int:
    """Write the folder under another name, then put it in place; print what it holds as one JSON object."""
    source = open_source(args.data, downloads=load_settings().var_dir / "data")
    part = args.out.with_name(f"{args.out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    facts = write_folder(source, part, live=args.live, limit=args.limit, shift_to_now=args.shift_to_now)
    shutil.rmtree(args.out, ignore_errors=True)
    part.rename(args.out)
    print(json.dumps(facts))
    return 0


@dataclass
class Tally:
    """What is counted of events as they go by."""

    known_items: Collection[str]
    user_ids: set[str] = field(default_factory=set)
    n_events: int = 0
    n_of_unknown_items: int = 0

    def passing(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the events, each counted."""
        for event in events:
            self.user_ids.add(event.user_id)
            self.n_events += 1
            self.n_of_unknown_items += event.item_id not in self.known_items
            yield event


def cut(times_ms: Sequence[int], live: float) -> int:
    """Return where the live part begins: `live` events before the end, or earlier, so that no moment is split.

    Raises:
        SourceError: no history would be left.
    """
    n = len(times_ms)
    first = n - (int(live) if live >= 1 else round(live * n))
    while 0 < first < n and times_ms[first - 1] == times_ms[first]:
        first -= 1
    if first <= 0:
        raise SourceError(f"the source has {n} events, the live part takes {live:g}; give a longer log.")
    return first


def write_folder(source: Source, folder: Path, *, live: float, limit: int, shift_to_now: bool) -> dict[str, Any]:
    """Write history, live part and source.json below `folder`; return the facts of source.json.

    The source is read twice: of a first reading only the times are held, 8 bytes each.

    Raises:
        SourceError: no history would be left, or the second reading gave another number of events.
    """
    times_ms = array("q", (to_ms(event.event_time) for event in source.events()))
    n_older = max(0, len(times_ms) - limit) if limit else 0
    n_history = cut(times_ms[n_older:], live)
    offset = SystemClock().now() - from_ms(times_ms[-1]) if shift_to_now else timedelta(0)
    # Whole seconds, so that the log's own rounding stays; down, so that no event lies ahead of the clock.
    offset = timedelta(seconds=offset // timedelta(seconds=1))
    items = [shift_item(item, offset) for item in source.items()]
    n_items = _write_rows(folder / "history" / "items.jsonl", items)
    _write_rows(folder / "history" / "users.jsonl", source.users())
    tally = Tally({item.item_id for item in items})
    events = tally.passing(islice(source.events(), n_older, None))
    parts = {
        "history": _write_events(folder / "history" / "events.jsonl", islice(events, n_history), offset),
        "live": _write_events(folder / "live" / "events.jsonl", events, offset),
    }
    if tally.n_events != len(times_ms) - n_older:
        raise SourceError(
            f"{source.name} had {len(times_ms)} events at first and {n_older + tally.n_events} when it was read again. "
            "Does something write to its files? Prepare a copy of them."
        )
    facts = {
        "name": source.name,
        "terms": source.terms,
        "items": n_items,
        # A catalogue may list users who did nothing, or be missing.
        "users": len(tally.user_ids),
        "shifted_seconds": int(offset.total_seconds()),
        "repeated": source.repeated,
        "malformed": _write_malformed(folder / "history" / "events-malformed.jsonl", source.malformed),
        "of_unknown_items": tally.n_of_unknown_items,
        **parts,
    }
    (folder / "source.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts


def _write_events(path: Path, events: Iterable[Event], offset: timedelta) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    n, first, last = 0, None, None
    with path.open("wb") as stream:
        for event in events:
            moved = shift_event(event, offset)
            stream.write(moved.to_json() + b"\n")
            n, first, last = n + 1, first or moved.event_time, moved.event_time
    return {"events": n, "first": first and format_time(first), "last": last and format_time(last)}


def _write_malformed(path: Path, payloads: Sequence[bytes]) -> int:
    # They go into the lake with the rest, which rejects them with a reason and keeps their bytes.
    if payloads:
        path.write_bytes(b"".join(payload + b"\n" for payload in payloads))
    return len(payloads)


def _write_rows(path: Path, rows: Iterable[BaseModel]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row.model_dump_json(exclude_none=True) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    sys.exit(main())
