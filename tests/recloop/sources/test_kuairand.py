"""KuaiRand's files as they are published."""

from __future__ import annotations

import csv
import gc
import gzip
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import pytest

from recloop.errors import SourceError
from recloop.events import Action, Event
from recloop.labels import is_long_view
from recloop.sources.kuairand import FLAGS, HISTORY_WATCHES, KuaiRand
from tests.recloop.sources.conftest import LOG_HEADER, LOG_ROWS, write_like_or_hate

LOG = "log_standard_4_25_to_5_04_pure_part.csv.gz"
USER_HEADER = (
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,follow_user_num,"
    "follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,friend_user_num_range,register_days,"
    "register_days_range," + ",".join(f"onehot_feat{n}" for n in range(18))
)
VIDEO_HEADER = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,server_height,"
    "music_id,music_type,tag"
)


def actions_of(folder: Path, user_id: str, item_id: str) -> set[str]:
    return {e.action for e in KuaiRand(folder).events() if (e.user_id, e.item_id) == (user_id, item_id) and e.slate_id}


def test_exposure_becomes_impression_and_what_followed(kuairand_folder: Path) -> None:
    assert actions_of(kuairand_folder, "7", "1") == {"impression", "click", "long_view", "like"}
    assert actions_of(kuairand_folder, "7", "2") == {"impression", "view", "hide"}
    assert actions_of(kuairand_folder, "8", "2") == {"impression"}


def test_interactions_name_the_slate_of_their_impression(kuairand_folder: Path) -> None:
    events = [e for e in KuaiRand(kuairand_folder).events() if e.user_id == "7" and e.item_id == "1"]
    assert len({e.slate_id for e in events}) == 1


def test_history_comes_before_the_log_in_its_order(kuairand_folder: Path) -> None:
    history = [e for e in KuaiRand(kuairand_folder).events() if e.slate_id is None]
    assert [(e.item_id, e.action) for e in history] == [("1", "long_view"), ("2", "view"), ("2", "like")]


def test_the_logs_own_long_view_is_what_the_kernel_sees(kuairand_folder: Path) -> None:
    row = "9,1,20220425,0,1650812741436,1,0,0,0,0,0,0,30000,49866,0,0,0,0,1"  # played 30 s, yet no long view
    log = "\n".join([LOG_HEADER, *LOG_ROWS, row]) + "\n"
    (kuairand_folder / LOG).write_bytes(gzip.compress(log.encode()))
    played = [e for e in KuaiRand(kuairand_folder).events() if e.user_id == "9" and e.action == Action.VIEW]
    assert [is_long_view(e.action, e.dwell_ms, e.duration_ms) for e in played] == [False]


@pytest.mark.parametrize(("played", "kept"), [(17_999, 17_999), (18_000, None)])
def test_play_of_a_video_of_unknown_length_keeps_its_time_where_that_is_short(
    kuairand_folder: Path, played: int, kept: int | None
) -> None:
    row = f"9,1,20220425,0,1650812741436,1,0,0,0,0,0,0,{played},0,0,0,0,0,1"
    (kuairand_folder / LOG).write_bytes(gzip.compress("\n".join([LOG_HEADER, row, ""]).encode()))
    views = [e for e in KuaiRand(kuairand_folder).events() if e.user_id == "9" and e.action == Action.VIEW]
    assert [e.dwell_ms for e in views] == [kept]


def test_exposure_written_twice_counts_once(kuairand_folder: Path) -> None:
    once = list(KuaiRand(kuairand_folder).events())
    (kuairand_folder / LOG.removesuffix(".gz")).write_bytes(gzip.decompress((kuairand_folder / LOG).read_bytes()))
    source = KuaiRand(kuairand_folder)
    assert list(source.events()) == once
    assert source.repeated == len(LOG_ROWS)


@pytest.mark.parametrize(
    ("found", "named"),
    [("7,1,", ",1,"), ("49866", "-1"), ("1650812741436", "99999999999999999999")],
    ids=["no_user", "negative_duration", "no_time_of_any_calendar"],
)
def test_row_that_is_no_event_names_its_line(kuairand_folder: Path, found: str, named: str) -> None:
    log = "\n".join([LOG_HEADER, LOG_ROWS[0].replace(found, named, 1)]) + "\n"
    (kuairand_folder / LOG).write_bytes(gzip.compress(log.encode()))
    with pytest.raises(SourceError, match=r"log_standard.* line 2, "):
        list(KuaiRand(kuairand_folder).events())


@pytest.fixture
def random_folder(tmp_path: Path) -> Path:
    """Two logs and a history whose few users, videos and moments meet again and again."""
    draw = random.Random(1)
    for name in ("log_random_4_22_to_5_08_pure.csv", "log_standard_4_22_to_5_08_pure.csv"):
        rows = [
            f"{draw.randrange(3)},{draw.randrange(3)},20220425,0,{1650812741000 + draw.randrange(30)},"
            f"{','.join(draw.choices('01', k=7))},{draw.choice((0, 500, 20_000))},{draw.choice((0, 400, 90_000_000))},"
            f"0,0,0,0,{draw.randrange(2)}"
            for _ in range(300)
        ]
        (tmp_path / name).write_text("\n".join([LOG_HEADER, *rows, ""]))
    (tmp_path / "history_last50.csv").write_text(
        "user_id,last_time_ms,watch_seq,like_seq,long_watch_seq\n"
        f"0,1650812741000,{' '.join(str(n % 7) for n in range(60))},3 8,2 3\n"
        "1,1650812741000,0 1 2,,\n1,1650812741000,2,,\n2,1650812741029,,,\n"
    )
    return tmp_path


def straightforward(folder: Path) -> Iterator[Event]:
    """Yield what `events` should, in the order of the files."""
    seen = set()
    for path in sorted(folder.glob("log_*.csv")):
        for row in csv.DictReader(path.open()):
            key = f"{row['user_id']}-{row['video_id']}-{row['time_ms']}"
            if key in seen:
                continue
            seen.add(key)
            shown = Event(
                event_id=f"{key}-impression",
                event_time=datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(row["time_ms"])),
                action=Action.IMPRESSION,
                user_id=row["user_id"],
                item_id=row["video_id"],
                slate_id=key,
                surface=f"tab {row['tab']}",
                duration_ms=min(int(row["duration_ms"]), 86_400_000),
            )
            yield shown
            played = int(row["play_time_ms"])
            for action in (action for flag, action in FLAGS.items() if row[flag] == "1"):
                yield shown.model_copy(update={"event_id": f"{key}-{action}", "action": action})
            if row["long_view"] == "1":
                more = {"event_id": f"{key}-long_view", "action": Action.LONG_VIEW, "dwell_ms": played}
                yield shown.model_copy(update=more)
            elif played:
                long = is_long_view("view", played, int(row["duration_ms"]))
                dwell = {} if long else {"dwell_ms": played}
                yield shown.model_copy(update={"event_id": f"{key}-view", "action": Action.VIEW} | dwell)
    yield from straightforward_history(folder)


def straightforward_history(folder: Path) -> Iterator[Event]:
    first_rows = {}
    for row in csv.DictReader((folder / "history_last50.csv").open()):
        first_rows.setdefault(row["user_id"], row)
    for user, row in first_rows.items():
        watched, liked = row["watch_seq"].split()[-50:], row["like_seq"].split()
        earlier = [video for video in liked if video not in watched]
        for age, video in enumerate([*watched[::-1], *earlier[::-1]]):
            watch = Event(
                event_id=f"{user}-{video}-history-{age}",
                event_time=datetime.fromtimestamp(int(row["last_time_ms"]) // 1_000, UTC)
                + timedelta(milliseconds=int(row["last_time_ms"]) % 1_000, hours=-age),
                action=Action.LONG_VIEW if video in row["long_watch_seq"].split() else Action.VIEW,
                user_id=user,
                item_id=video,
            )
            if age < len(watched):
                yield watch
            if video in liked:
                yield watch.model_copy(update={"event_id": f"{watch.event_id}-like", "action": Action.LIKE})


def test_events_come_as_if_all_were_made_and_sorted_by_time(random_folder: Path) -> None:
    expected = sorted(straightforward(random_folder), key=lambda event: event.event_time)
    source = KuaiRand(random_folder)
    found = list(source.events())
    assert [event.model_dump() for event in found] == [event.model_dump() for event in expected]
    assert source.repeated == 600 - sum(event.action == Action.IMPRESSION for event in expected) > 0


def events_alive() -> int:
    gc.collect()
    return sum(isinstance(one, Event) for one in gc.get_objects())


def test_events_are_made_one_by_one(random_folder: Path) -> None:
    before = events_alive()
    events = KuaiRand(random_folder).events()
    assert sum(1 for _ in islice(events, 100)) == 100
    in_hand = next(events)
    assert in_hand
    assert events_alive() - before == 1


def test_history_is_cut_to_its_newest_watches(kuairand_folder: Path) -> None:
    watched = [str(n) for n in range(HISTORY_WATCHES + 7)]
    (kuairand_folder / "history_to_4_24_last50.csv").write_text(
        f"user_id,last_time_ms,watch_seq,like_seq,long_watch_seq\n8,1650615878629,{' '.join(watched)},,\n"
    )
    history = [event for event in KuaiRand(kuairand_folder).events() if event.slate_id is None]
    assert [event.item_id for event in history] == watched[7:]
    assert {b.event_time - a.event_time for a, b in pairwise(history)} == {timedelta(hours=1)}


def test_likes_of_what_was_watched_before_the_history_are_older_than_it(kuairand_folder: Path) -> None:
    (kuairand_folder / "history_to_4_24_last50.csv").write_text(
        "user_id,last_time_ms,watch_seq,like_seq,long_watch_seq\n8,1650615878629,4 5,1 2 4,1\n"
    )
    history = [event for event in KuaiRand(kuairand_folder).events() if event.slate_id is None]
    assert [(e.item_id, e.action) for e in history] == [
        ("1", "like"), ("2", "like"), ("4", "view"), ("4", "like"), ("5", "view"),
    ]  # fmt: skip
    assert [(history[-1].event_time - e.event_time).seconds // 3600 for e in history] == [3, 2, 1, 1, 0]


def test_video_without_tag_or_duration_is_kept(kuairand_folder: Path) -> None:
    first, second = KuaiRand(kuairand_folder).items()
    assert first.categories == ("tag 3", "tag 9")
    assert (second.categories, second.duration_ms) == ((), None)


def test_first_row_of_a_video_or_user_counts(kuairand_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (kuairand_folder / "video_features_basic_pure.csv").open("a") as stream:
        stream.write("1,78,AD,2022-04-11,Kmovie,5.0,4\n")
    with (kuairand_folder / "user_features_pure.csv").open("a") as stream:
        stream.write("7,low_active,0\n")
    source = KuaiRand(kuairand_folder)
    assert [(item.item_id, item.author_id) for item in source.items()] == [("1", "77"), ("2", "78")]
    assert [(user.user_id, user.segment) for user in source.users()] == [("7", "full_active"), ("8", None)]
    assert [record.getMessage() for record in caplog.records] == [
        "video_features_basic_pure.csv line 4: video_id '1' has an earlier row, which counts. Rows left out so: 1.",
        "user_features_pure.csv line 4: user_id '7' has an earlier row, which counts. Rows left out so: 1.",
    ]


def test_what_the_feature_tables_do_not_know_is_left_out(kuairand_folder: Path) -> None:
    (kuairand_folder / "user_features_pure.csv").write_text(
        f'{USER_HEADER}\n7,UNKNOWN,0,-124,1,514,500+,150,"[100,1k)",34,"[30,60)",799,730+{"," * 18}\n'
    )
    (kuairand_folder / "video_features_basic_pure.csv").write_text(f"{VIDEO_HEADER}\n1,77,UNKNOWN,,UNKNOWN,0.0,,,,,,\n")
    (user,), (item,) = KuaiRand(kuairand_folder).users(), KuaiRand(kuairand_folder).items()
    assert user.segment is None
    assert user.attributes["fans_user_num_range"] == "[100,1k)"
    assert not {"user_active_degree", "is_live_streamer", "onehot_feat0"} & set(user.attributes)
    assert item.model_dump(exclude_none=True) == {"item_id": "1", "author_id": "77", "categories": (), "attributes": {}}


@pytest.mark.parametrize(
    ("logs", "edition", "statistics"),
    [
        (["log_standard_4_08_to_4_21_pure", "log_standard_4_22_to_5_08_pure"], "pure", ["pure"]),
        (["log_standard_4_08_to_4_21_1k", "log_standard_4_22_to_5_08_1k"], "1k", ["1k"]),
        (
            [f"log_standard_{days}_27k_part{n}" for days in ("4_08_to_4_21", "4_22_to_5_08") for n in (1, 2)],
            "27k",
            ["27k_part1", "27k_part2", "27k_part3"],
        ),
    ],
    ids=["pure", "1k", "27k"],
)
@pytest.mark.parametrize("inside", [".", "data", "archive/data"])
def test_archive_is_read_as_it_is_published(
    tmp_path: Path, logs: list[str], edition: str, statistics: list[str], inside: str
) -> None:
    data = tmp_path / inside
    data.mkdir(exist_ok=True, parents=True)
    (tmp_path / f"load_data_{edition}.py").touch()
    for day, name in enumerate(logs):
        (data / f"{name}.csv").write_text(
            f"{LOG_HEADER}\n7,{day},20220409,0,{day + 1}000,0,0,0,0,0,0,0,0,9000,0,0,0,0,1\n"
        )
    (data / f"log_random_4_22_to_5_08_{edition}.csv").write_text(
        f"{LOG_HEADER}\n8,1,20220425,0,9000,0,0,0,0,0,0,0,0,9000,0,0,0,1,0\n"
    )
    (data / f"user_features_{edition}.csv").write_text(f"{USER_HEADER}\n7,full_active{',0' * 29}\n")
    (data / f"video_features_basic_{edition}.csv").write_text(
        f'{VIDEO_HEADER}\n1,77,NORMAL,2022-04-10,Web,0.0,9000.0,720.0,1280.0,5,9.0,"3,9"\n'
    )
    for part in statistics:
        (data / f"video_features_statistic_{part}.csv").write_text("video_id,counts,show_cnt\n1,66,75.212\n")
    source = KuaiRand(tmp_path)
    shown = [("7", str(day), "tab 1") for day in range(len(logs))]
    assert [(e.user_id, e.item_id, e.surface) for e in source.events()] == [*shown, ("8", "1", "tab 0")]
    assert [(user.user_id, user.segment) for user in source.users()] == [("7", "full_active")]
    assert [(item.item_id, item.categories) for item in source.items()] == [("1", ("tag 3", "tag 9"))]


def test_files_of_the_folder_go_before_those_in_its_data(kuairand_folder: Path) -> None:
    expected = list(KuaiRand(kuairand_folder).events())
    (kuairand_folder / "data").mkdir()
    (kuairand_folder / "data" / "log_standard_4_08_to_4_21_pure.csv").write_text(f"{LOG_HEADER}\n{LOG_ROWS[0]}\n")
    assert list(KuaiRand(kuairand_folder).events()) == expected


def test_explicit_like_or_hate_becomes_like_or_hide(tmp_path: Path) -> None:
    source = KuaiRand(write_like_or_hate(tmp_path))
    assert actions_of(tmp_path, "111", "3892024") == {"impression", "click", "like", "long_view"}
    assert actions_of(tmp_path, "111", "2629583") == {"impression", "comment", "hide", "view"}
    assert {event.surface for event in source.events()} == {None}
    assert source.repeated == 1
    assert [item.model_dump(exclude_defaults=True) for item in source.items()] == [
        {"item_id": "3892024"},
        {"item_id": "2629583"},
    ]
    assert list(source.users()) == []


def test_label_that_is_neither_like_nor_hate_is_named(tmp_path: Path) -> None:
    path = write_like_or_hate(tmp_path) / "processed_standard_kcore_15_part.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b",0,1,2022", b",0,2,2022")))
    with pytest.raises(SourceError, match="line 2, column label: found 2, expected 1"):
        list(KuaiRand(tmp_path).events())


def test_official_log_needs_its_catalogue(kuairand_folder: Path) -> None:
    (kuairand_folder / "video_features_basic_pure.csv").unlink()
    with pytest.raises(SourceError, match="has no video_features_basic_"):
        list(KuaiRand(kuairand_folder).items())


def test_truncated_log_is_named(kuairand_folder: Path) -> None:
    path = kuairand_folder / LOG
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"log_standard.*cannot be read to its end"):
        list(KuaiRand(kuairand_folder).events())


@pytest.mark.parametrize("name", ["user_features_pure.csv", "video_features_basic_pure.csv"])
class TestCutTables:
    """A catalogue whose copy broke off is named, not taken for a smaller one."""

    def rows(self, folder: Path) -> list[object]:
        source = KuaiRand(folder)
        return [*source.users(), *source.items()]

    def test_gzipped(self, kuairand_folder: Path, name: str) -> None:
        path = kuairand_folder / name
        (kuairand_folder / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-9])
        path.unlink()
        with pytest.raises(SourceError, match=rf"{name}\.gz cannot be read to its end"):
            self.rows(kuairand_folder)

    def test_plain_in_mid_line(self, kuairand_folder: Path, name: str) -> None:
        path = kuairand_folder / name
        *lines, last = path.read_text().splitlines()
        path.write_text("\n".join([*lines, last[:2]]))
        with pytest.raises(SourceError, match=rf"{name} line 3: found 2 fields, expected \d"):
            self.rows(kuairand_folder)

    def test_plain_within_quotation_marks(self, kuairand_folder: Path, name: str) -> None:
        path = kuairand_folder / name
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines, '9,"full']))
        with pytest.raises(SourceError, match=rf"{name} line 4: unexpected end of data"):
            self.rows(kuairand_folder)


def test_bad_number_names_file_line_and_column(kuairand_folder: Path) -> None:
    log = "\n".join([LOG_HEADER, LOG_ROWS[0], LOG_ROWS[1].replace("1650812641436", "soon")]) + "\n"
    (kuairand_folder / LOG).write_bytes(gzip.compress(log.encode()))
    with pytest.raises(SourceError, match="line 3, column time_ms: found 'soon'"):
        list(KuaiRand(kuairand_folder).events())


def test_missing_column_is_named(kuairand_folder: Path) -> None:
    (kuairand_folder / LOG).write_bytes(gzip.compress(b"user_id,video_id\n1,2\n"))
    with pytest.raises(SourceError, match="column time_ms is missing"):
        list(KuaiRand(kuairand_folder).events())


def test_folder_without_logs_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no log_"):
        list(KuaiRand(tmp_path).events())
