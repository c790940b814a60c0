"""What a user's keyed state becomes: the sequence rule, plus the history that came another way.

History may have been backfilled into the online store without passing through the topic. So a user's first event, and
one every REREAD_MS after it, has the online row read and united with the state. The row has no event ids: its entries
come in as *placeholders*, and a real event with the same content takes its placeholder's place. After a restart the
row also holds what this job wrote before it died, so replayed events find their own placeholders and nothing counts
twice: once all of them are replayed, the state is exactly what `recloop.sequences.merge` makes of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from recloop.sequences import ACTION_CODES, Entry, RecentActions, merge

REREAD_MS = 600_000
"""How often a busy user's online row is read again: a backfill may have come after the user's first event."""

PLACEHOLDERS_BELOW = 1 << 32
"""Hashes below it mark placeholders. A real hash has 63 bits, so one in 2 billion events would look like one."""

Content = tuple[int, str, str, int]


def add_events(entries: Sequence[Entry], new: Sequence[Entry]) -> list[Entry]:
    """Return the sequence with new events in it; each takes the place of one placeholder with its content."""
    known = {(old.time_ms, old.event_hash) for old in entries}
    wanted = Counter(_content(fresh) for fresh in new if (fresh.time_ms, fresh.event_hash) not in known)
    kept = [old for old in entries if not (_is_placeholder(old) and _take(wanted, old))]
    return merge(kept, new)


def add_online_row(entries: Sequence[Entry], row: RecentActions) -> list[Entry]:
    """Return the sequence united with an online row, whose unknown entries become placeholders in its order."""
    held = Counter(map(_content, entries))
    first = 1 + max((old.event_hash for old in entries if _is_placeholder(old)), default=-1)
    columns = zip(row.times_ms, row.item_ids, row.actions, row.dwell_ms, strict=True)
    # An action this code does not know was written by a newer version; it comes back with the next backfill.
    rows = [
        Entry(time_ms, first + place, item_id, action, dwell_ms)
        for place, (time_ms, item_id, action, dwell_ms) in enumerate(columns)
        if action in ACTION_CODES
    ]
    return merge(entries, [new for new in rows if not _take(held, new)])


def must_read_online_row(read_at_ms: int, now_ms: int) -> bool:
    """Tell whether the online row was never read, or long ago."""
    return read_at_ms == 0 or now_ms - read_at_ms >= REREAD_MS


def _content(old: Entry) -> Content:
    return old.time_ms, old.item_id, str(old.action), old.dwell_ms


def _is_placeholder(old: Entry) -> bool:
    return old.event_hash < PLACEHOLDERS_BELOW


def _take(left: Counter[Content], one: Entry) -> bool:
    content = _content(one)
    if left[content] <= 0:
        return False
    left[content] -= 1
    return True
