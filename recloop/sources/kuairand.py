"""KuaiRand (Gao et al., CIKM 2022): exposures of a short-video app with seven kinds of feedback, in its official files.

An exposure is an impression and, in the same millisecond, what the log says of it: a click, one play (`long_view` where
the log's own `long_view` is 1, else `view`, with the time played), like, follow, comment, share, hide. Interactions
carry their impression's `slate_id`, so attribution is exact.

`is_click` and `long_view` are functions of the play time; the play time of the scored exposure is no feature anywhere:
it lies on the interaction, which comes after the impression.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recloop.catalog import CatalogItem, CatalogUser
from recloop.errors import SourceError
from recloop.events import Action, Event
from recloop.sources.base import Row, build, number, read_table, time_of

FLAGS = {
    "is_click": Action.CLICK,
    "is_like": Action.LIKE,
    "is_follow": Action.FOLLOW,
    "is_comment": Action.COMMENT,
    "is_forward": Action.SHARE,
    "is_hate": Action.HIDE,
}
LOG_COLUMNS = ("user_id", "video_id", "time_ms", *FLAGS, "long_view", "play_time_ms", "duration_ms", "tab")
HISTORY_COLUMNS = ("user_id", "last_time_ms", "watch_seq", "like_seq", "long_watch_seq")
VIDEO_COLUMNS = ("video_id", "author_id", "video_type", "upload_dt", "video_duration", "tag")
USER_COLUMNS = ("user_id", "user_active_degree")
HISTORY_WATCHES = 20
MAX_PLAY_MS = 86_400_000


class KuaiRand:
    """The adapter of a folder with `log_*.csv`, `user_features_*.csv`, `video_features_basic_*.csv`, plain or gzipped.

    A file `history_*.csv` is read where it is there: each user's watches before the log, oldest first, with one time
    for the last of them. The newest HISTORY_WATCHES become events one hour apart that end at that time: their order is
    real, their times are not, and no impression is made of them.

    The published logs hold thousands of rows twice (same user, video and millisecond): such an exposure counts once.
    """

    name = "KuaiRand"
    malformed: Sequence[bytes] = ()
    terms = "KuaiRand, CC BY-SA 4.0; cite Gao et al., CIKM 2022, doi 10.1145/3511808.3557624."

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.repeated = 0

    def events(self) -> Iterator[Event]:
        """Yield the events of all logs, oldest first; holds them in memory to sort them."""
        events: list[Event] = []
        seen: set[str] = set()
        self.repeated = 0
        for path in self._files("log_*.csv*", required=True):
            for line, row in read_table(path, columns=LOG_COLUMNS):
                key = f"{row['user_id']}-{row['video_id']}-{row['time_ms']}"
                if key in seen:
                    self.repeated += 1
                    continue
                seen.add(key)
                events += _exposure(path, line, row, key)
        for path in self._files("history_*.csv*"):
            for line, row in read_table(path, columns=HISTORY_COLUMNS):
                if (user := row["user_id"]) not in seen:
                    seen.add(user)
                    events += _history(path, line, row)
        events.sort(key=lambda event: event.event_time)  # stable: an impression stays before what it caused
        yield from events

    def items(self) -> Iterator[CatalogItem]:
        """Yield the videos; tags are categories."""
        seen: set[str] = set()
        for path in self._files("video_features_basic_*.csv*", required=True):
            for line, row in read_table(path, columns=VIDEO_COLUMNS):
                if row["video_id"] not in seen:
                    seen.add(row["video_id"])
                    yield _video(path, line, row)

    def users(self) -> Iterator[CatalogUser]:
        """Yield the users; a segment is how active a user is, and every other column is an attribute."""
        seen: set[str] = set()
        for path in self._files("user_features_*.csv*"):
            for line, row in read_table(path, columns=USER_COLUMNS):
                if row["user_id"] not in seen:
                    seen.add(row["user_id"])
                    attributes = {name: value for name, value in row.items() if value and name != "user_id"}
                    fields = {
                        "user_id": row["user_id"],
                        "segment": row["user_active_degree"] or None,
                        "attributes": attributes,
                    }
                    yield build(CatalogUser, path, line, fields)

    def _files(self, pattern: str, *, required: bool = False) -> list[Path]:
        files = sorted(path for path in self._folder.glob(pattern) if path.name.endswith((".csv", ".csv.gz")))
        if required and not files:
            raise SourceError(f"{self._folder} has no {pattern}; expected KuaiRand's official files there.")
        return files


def _exposure(path: Path, line: int, row: Row, key: str) -> Iterator[Event]:
    duration = number(path, line, row, "duration_ms")
    common: dict[str, Any] = {
        "event_time": time_of(path, line, row, "time_ms"),
        "user_id": row["user_id"],
        "item_id": row["video_id"],
        "slate_id": key,
        "surface": f"tab {row['tab']}",
        "duration_ms": min(duration, MAX_PLAY_MS),
    }

    def event(action: Action, **more: Any) -> Event:
        return build(Event, path, line, {"event_id": f"{key}-{action}", "action": action, **common, **more})

    yield event(Action.IMPRESSION)
    for flag, action in FLAGS.items():
        if number(path, line, row, flag):
            yield event(action)
    played, is_long = number(path, line, row, "play_time_ms"), number(path, line, row, "long_view")
    if played > 0 or is_long:
        action = Action.LONG_VIEW if is_long else Action.VIEW
        # A view the log itself calls short stays short: the kernel's rule would call some of them long.
        dwell: dict[str, Any] = (
            {} if not is_long and played >= min(18_000, duration) else {"dwell_ms": min(played, MAX_PLAY_MS)}
        )
        yield event(action, **dwell)


def _history(path: Path, line: int, row: Row) -> Iterator[Event]:
    last = time_of(path, line, row, "last_time_ms")
    liked, watched_long = set(row["like_seq"].split()), set(row["long_watch_seq"].split())
    for place, video in enumerate(reversed(row["watch_seq"].split()[-HISTORY_WATCHES:])):
        common: dict[str, Any] = {
            "event_time": last - place * timedelta(hours=1),
            "user_id": row["user_id"],
            "item_id": video,
        }
        key = f"{row['user_id']}-{video}-history-{place}"
        watch = Action.LONG_VIEW if video in watched_long else Action.VIEW
        yield build(Event, path, line, {"event_id": key, "action": watch, **common})
        if video in liked:
            yield build(Event, path, line, {"event_id": f"{key}-like", "action": Action.LIKE, **common})


def _video(path: Path, line: int, row: Row) -> CatalogItem:
    duration = number(path, line, row, "video_duration") if row["video_duration"] else None
    attributes = {name: row[name] for name in ("video_type", "upload_type", "music_id", "music_type") if row.get(name)}
    fields = {
        "item_id": row["video_id"],
        "categories": [f"tag {tag}" for tag in row["tag"].split(",") if tag],
        "author_id": row["author_id"] or None,
        "duration_ms": duration,
        "published_at": _upload_time(path, line, row["upload_dt"]),
        "attributes": attributes,
    }
    return build(CatalogItem, path, line, fields)


def _upload_time(path: Path, line: int, text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise SourceError(f"{path.name} line {line}, column upload_dt: found {text!r}, expected a date.") from error
