"""KuaiRand (Gao et al., CIKM 2022): exposures of a short-video app with seven kinds of feedback, in its official files.

An exposure is an impression and, in the same millisecond, what the log says of it: a click, one play (`long_view` where
the log's own `long_view` is 1, else `view`, with the time played), like, follow, comment, share, hide. Interactions
carry their impression's `slate_id`, so attribution is exact.

`is_click` and `long_view` are functions of the play time; the play time of the scored exposure is no feature anywhere:
it lies on the interaction, which comes after the impression.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import MS_PER_HOUR, from_ms, to_ms
from recloop.errors import SourceError
from recloop.events import Action, Event
from recloop.labels import is_long_view
from recloop.sources.base import Row, build, first_rows, number, read_table, time_of
from recloop.sources.folders import find_home
from recloop.sources.packed import Codes, PackedRows

FLAGS = {
    "is_click": Action.CLICK,
    "is_like": Action.LIKE,
    "is_follow": Action.FOLLOW,
    "is_comment": Action.COMMENT,
    "is_forward": Action.SHARE,
    "is_hate": Action.HIDE,
}
LOGS, LIKE_OR_HATE_LOGS, HISTORIES = "log_*.csv*", "processed_*.csv*", "history_*.csv*"
LOG_COLUMNS = ("user_id", "video_id", "time_ms", *FLAGS, "long_view", "play_time_ms", "duration_ms", "tab")
LIKE_OR_HATE_COLUMNS = (*(name for name in LOG_COLUMNS if name not in ("is_like", "is_hate", "tab")), "label")
HISTORY_COLUMNS = ("user_id", "last_time_ms", "watch_seq", "like_seq", "long_watch_seq")
VIDEO_COLUMNS = ("video_id", "author_id", "video_type", "upload_dt", "video_duration", "tag")
USER_COLUMNS = ("user_id", "user_active_degree")
UNKNOWN = ("", "UNKNOWN", "-124")
"""What the feature tables hold where a value is not known."""

HISTORY_WATCHES = 50
"""How many watches of a history become events; the shared part lists no more, a longer list is cut to its newest."""

MAX_PLAY_MS = 86_400_000


class KuaiRand:
    """The adapter of a folder with `log_*.csv`, `user_features_*.csv`, `video_features_basic_*.csv`, plain or gzipped.

    The files may lie in a folder below it, as in the archives of KuaiRand-Pure, -1K and -27K in their `data`; their
    daily statistics of videos are not read. Of several rows for a video or a user, the first counts.

    A file `history_*.csv` is read where it is there: each user's watches before the log, oldest first, with one time
    for the last of them. The newest HISTORY_WATCHES become events one hour apart that end at that time, and before
    them, in the same way, the likes of videos that were watched earlier: likes are rare, and of many users these are
    all there are. Their order is real, their times are not, and no impression is made of them.

    Where no `log_*.csv` is there, `processed_*.csv` is read: only exposures that ended in an explicit like (`label` 1,
    in place of `is_like`) or hate (0, in place of `is_hate`), without a tab. There the catalogue may be missing.

    The published logs hold thousands of rows twice (same user, video and millisecond): such an exposure counts once.
    """

    name = "KuaiRand"
    malformed: Sequence[bytes] = ()
    reason = ""
    utc_offset = timedelta(hours=8)  # the log's column `date` is that of China
    terms = "KuaiRand, CC BY-SA 4.0; cite Gao et al., CIKM 2022, doi 10.1145/3511808.3557624."

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.repeated = 0

    def events(self) -> Iterator[Event]:
        """Yield the events of all logs, oldest first; at one time in the order of the files.

        Reads every file to its end before the first event. Holds rows, not events: 44 bytes each and every text once.
        """
        self.repeated = 0
        rows, values = self._rows()
        moment, seen = -1, set[tuple[int, ...]]()
        for place in rows.by_time():
            row = rows[place]
            if row.time_ms != moment:
                moment, seen = row.time_ms, set()
            key = row.user, row.video, row.age
            if key in seen:
                self.repeated += 1
                continue
            seen.add(key)
            yield from _events(row, values)

    def _rows(self) -> tuple[PackedRows[_Row], Sequence[Any]]:
        rows, codes = PackedRows(_Row._make, "qIIIIIIiii"), Codes()
        rows.extend(_exposure(path, line, fields, codes) for path, line, fields in self._exposures())
        for path, line, fields in first_rows(_read(self._files(HISTORIES), HISTORY_COLUMNS), "user_id"):
            rows.extend(_history(path, line, fields, codes))
        return rows, list(codes)

    def _exposures(self) -> Iterator[tuple[Path, int, Row]]:
        logs = self._files(LOGS)
        yield from _read(logs, LOG_COLUMNS)
        if not logs:
            for path, line, row in _read(self._files(LIKE_OR_HATE_LOGS, required=True), LIKE_OR_HATE_COLUMNS):
                yield path, line, _with_flags(path, line, row)

    def items(self) -> Iterator[CatalogItem]:
        """Yield the videos; tags are categories. A `processed_*.csv` without a catalogue gives bare ids."""
        paths = self._files("video_features_basic_*.csv*", required=bool(self._files(LOGS)))
        if not paths:
            videos = dict.fromkeys(row["video_id"] for _, _, row in self._exposures())
            yield from (CatalogItem(item_id=video) for video in videos)
        for path, line, row in first_rows(_read(paths, VIDEO_COLUMNS), "video_id"):
            yield _video(path, line, row)

    def users(self) -> Iterator[CatalogUser]:
        """Yield the users; a segment is how active a user is, and every other known column is an attribute."""
        for path, line, row in first_rows(_read(self._files("user_features_*.csv*"), USER_COLUMNS), "user_id"):
            attributes = {name: row[name] for name in row if name != "user_id" and _known(row[name])}
            segment = _known(row["user_active_degree"])
            fields = {"user_id": row["user_id"], "segment": segment, "attributes": attributes}
            yield build(CatalogUser, path, line, fields)

    @cached_property
    def _home(self) -> Path:
        return find_home(self._folder, lambda each: bool(_tables(each, LOGS) or _tables(each, LIKE_OR_HATE_LOGS)))

    def _files(self, pattern: str, *, required: bool = False) -> list[Path]:
        files = _tables(self._home, pattern)
        if required and not files:
            asked = f"{LOGS} or {LIKE_OR_HATE_LOGS}" if pattern == LIKE_OR_HATE_LOGS else pattern
            raise SourceError(f"{self._home} has no {asked}; expected KuaiRand's official files there.")
        return files


class _Row(NamedTuple):
    """An exposure or a watch in the past, as whole numbers; path, user, video, surface and actions are codes."""

    time_ms: int
    path: int
    line: int
    user: int
    video: int
    surface: int
    actions: int
    age: int
    """Of a watch or like in the past, how many of the history come after it; -1 is an exposure."""

    played_ms: int
    duration_ms: int


def _tables(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.name.endswith((".csv", ".csv.gz")))


def _read(paths: Sequence[Path], columns: Collection[str]) -> Iterator[tuple[Path, int, Row]]:
    for path in paths:
        for line, row in read_table(path, columns=columns):
            yield path, line, row


def _with_flags(path: Path, line: int, row: Row) -> Row:
    label = number(path, line, row, "label")
    if label not in (0, 1):
        raise SourceError(f"{path.name} line {line}, column label: found {label}, expected 1 (like) or 0 (hate).")
    return {**row, "is_like": str(label), "is_hate": str(1 - label), "tab": ""}


def _exposure(path: Path, line: int, row: Row, codes: Codes) -> _Row:
    time_ms = to_ms(time_of(path, line, row, "time_ms"))
    flagged = [action for flag, action in FLAGS.items() if number(path, line, row, flag)]
    played, is_long = number(path, line, row, "play_time_ms"), number(path, line, row, "long_view")
    play = [Action.LONG_VIEW] if is_long else [Action.VIEW] if played > 0 else []
    return _Row(
        time_ms=time_ms,
        path=codes[path],
        line=line,
        user=codes[row["user_id"]],
        video=codes[row["video_id"]],
        surface=codes[f"tab {row['tab']}" if row["tab"] else None],
        actions=codes[(Action.IMPRESSION, *flagged, *play)],
        age=-1,
        played_ms=_clipped(played),
        duration_ms=_clipped(number(path, line, row, "duration_ms")),
    )


def _clipped(ms: int) -> int:
    # What is negative stays so, for the event model to refuse.
    return max(-1, min(ms, MAX_PLAY_MS))


def _history(path: Path, line: int, row: Row, codes: Codes) -> Iterator[_Row]:
    last = to_ms(time_of(path, line, row, "last_time_ms"))
    watched, liked = row["watch_seq"].split()[-HISTORY_WATCHES:], row["like_seq"].split()
    watched_long = set(row["long_watch_seq"].split())
    earlier = [video for video in liked if video not in watched]
    for age, video in enumerate(reversed([*earlier, *watched])):
        seen = (Action.LONG_VIEW if video in watched_long else Action.VIEW,) if age < len(watched) else ()
        yield _Row(
            time_ms=last - age * MS_PER_HOUR,
            path=codes[path],
            line=line,
            user=codes[row["user_id"]],
            video=codes[video],
            surface=codes[None],
            actions=codes[(*seen, Action.LIKE) if video in liked else seen],
            age=age,
            played_ms=0,
            duration_ms=0,
        )


def _events(row: _Row, values: Sequence[Any]) -> Iterator[Event]:
    path, user, video = values[row.path], values[row.user], values[row.video]
    fields = {"event_time": from_ms(row.time_ms), "user_id": user, "item_id": video}
    if row.age >= 0:
        key = f"{user}-{video}-history-{row.age}"
        for action in values[row.actions]:
            event_id = f"{key}-like" if action == Action.LIKE else key
            yield build(Event, path, row.line, fields | {"event_id": event_id, "action": action})
        return
    key = f"{user}-{video}-{row.time_ms}"
    fields |= {"slate_id": key, "surface": values[row.surface], "duration_ms": row.duration_ms}
    for action in values[row.actions]:
        more = {"event_id": f"{key}-{action}", "action": action} | _dwell(row, action)
        yield build(Event, path, row.line, fields | more)


def _dwell(row: _Row, action: Action) -> dict[str, int]:
    if action not in (Action.VIEW, Action.LONG_VIEW):
        return {}
    # A view the log itself calls short stays short: the kernel's rule would call some of them long.
    would_be_long = is_long_view(Action.VIEW, row.played_ms, row.duration_ms)
    return {} if action is Action.VIEW and would_be_long else {"dwell_ms": row.played_ms}


def _video(path: Path, line: int, row: Row) -> CatalogItem:
    duration = number(path, line, row, "video_duration") if _known(row["video_duration"]) else None
    names = ("video_type", "upload_type", "music_id", "music_type")
    attributes = {name: row[name] for name in names if _known(row.get(name, ""))}
    fields = {
        "item_id": row["video_id"],
        "categories": [f"tag {tag}" for tag in row["tag"].split(",") if _known(tag)],
        "author_id": _known(row["author_id"]),
        "duration_ms": duration,
        "published_at": _upload_time(path, line, row["upload_dt"]),
        "attributes": attributes,
    }
    return build(CatalogItem, path, line, fields)


def _upload_time(path: Path, line: int, text: str) -> datetime | None:
    if not _known(text):
        return None
    try:
        return datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise SourceError(f"{path.name} line {line}, column upload_dt: found {text!r}, expected a date.") from error


def _known(text: str) -> str | None:
    return None if text in UNKNOWN else text
