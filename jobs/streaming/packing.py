"""A user's sequence as bytes: one small value of keyed state instead of a hundred.

In: entries of the sequence rule and the moment the online row was last read. Out: bytes, and back.
A Flink state backend copies and checkpoints a bytes value at once; a list of tuples cost it two thirds of its speed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from recloop.sequences import ACTION_CODES, Entry

_ENTRY = struct.Struct("<qQIBH")
"""time_ms, event_hash, dwell_ms, action code, length of the item id in UTF-8 bytes, which follow."""

_HEADER = struct.Struct("<q")
_ACTIONS = {code: str(action) for action, code in ACTION_CODES.items()}


def pack_entries(entries: Iterable[Entry]) -> bytes:
    """Return the entries one after the other."""
    parts: list[bytes] = []
    for time_ms, event_hash, item_id, action, dwell_ms in entries:
        item = item_id.encode()
        parts.append(_ENTRY.pack(time_ms, event_hash, dwell_ms, ACTION_CODES[action], len(item)))  # type: ignore[index]
        parts.append(item)
    return b"".join(parts)


def unpack_entries(packed: bytes, start: int = 0) -> list[Entry]:
    """Return the entries packed from `start` on."""
    return list(_entries(packed, start))


def pack_state(entries: Iterable[Entry], *, read_at_ms: int) -> bytes:
    """Return the value of keyed state; `read_at_ms` is when the online row was last read, 0: not yet."""
    return _HEADER.pack(read_at_ms) + pack_entries(entries)


def unpack_state(packed: bytes | None) -> tuple[list[Entry], int]:
    """Return (entries, read_at_ms); a user without state has no entries and was never read."""
    if not packed:
        return [], 0
    return unpack_entries(packed, _HEADER.size), _HEADER.unpack_from(packed)[0]


def _entries(packed: bytes, start: int) -> Iterator[Entry]:
    while start < len(packed):
        time_ms, event_hash, dwell_ms, code, length = _ENTRY.unpack_from(packed, start)
        item_at = start + _ENTRY.size
        start = item_at + length
        yield Entry(time_ms, event_hash, packed[item_at:start].decode(), _ACTIONS[code], dwell_ms)
