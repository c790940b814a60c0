"""Small data sets in each source's own files, written as the real ones are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

LOG_HEADER = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab"
)
LOG_ROWS = [
    "7,1,20220425,0,1650812741436,1,1,0,0,0,0,1,61802,49866,0,0,0,0,1",
    "7,2,20220425,0,1650812641436,0,0,0,0,0,1,0,1184,11933,0,0,0,0,4",
    "8,2,20220425,0,1650812934945,0,0,0,0,0,0,0,0,11933,0,0,0,0,1",
]


def write_kuairand(folder: Path) -> Path:
    log = "\n".join([LOG_HEADER, *LOG_ROWS]) + "\n"
    (folder / "log_standard_4_25_to_5_04_pure_part.csv.gz").write_bytes(gzip.compress(log.encode()))
    (folder / "user_features_pure.csv").write_text("user_id,user_active_degree,onehot_feat0\n7,full_active,1\n8,,0\n")
    (folder / "video_features_basic_pure.csv").write_text(
        "video_id,author_id,video_type,upload_dt,upload_type,video_duration,tag\n"
        '1,77,NORMAL,2022-04-10,Kmovie,49866.0,"3,9"\n2,78,AD,2022-04-11,Kmovie,,\n'
    )
    (folder / "history_to_4_24_last50.csv").write_text(
        "user_id,history_len,last_time_ms,watch_seq,like_seq,long_watch_seq\n8,2,1650615878629,1 2,2,1\n"
    )
    return folder


def write_like_or_hate(folder: Path) -> Path:
    """Write exposures with an explicit like or hate, as they are cut from KuaiRand-27K; there is no catalogue."""
    log = (
        "user_id,video_id,date,hourmin,time_ms,is_click,is_follow,is_comment,is_forward,long_view,play_time_ms,"
        "duration_ms,comment_stay_time,is_profile_enter,label,timestamp\n"
        "111,3892024,20220410,1700,1649581149287,1,0,0,0,1,46186,45916,7639,0,1,2022-04-10 08:59:09\n"
        "111,2629583,20220411,1600,1649664552983,0,0,1,0,0,1454,9000,5045,0,0,2022-04-11 08:09:12\n"
        "111,2629583,20220411,1600,1649664552983,0,0,1,0,0,1454,9000,5045,0,0,2022-04-11 08:09:12\n"
    )
    (folder / "processed_standard_kcore_15_part.csv.gz").write_bytes(gzip.compress(log.encode()))
    return folder


GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


def film_100k(film: int, title: str, released: str, *genres: str) -> str:
    flags = "|".join(str(int(genre in genres)) for genre in GENRES)
    return f"{film}|{title}|{released}||http://example.org/{film}|{flags}\n"


ARCHIVES: dict[str, tuple[str, dict[str, str]]] = {
    "ml-100k": (
        "latin-1",
        {
            "u.data": "7\t1\t5\t890000009\n7\t2\t3\t890000000\n9\t2\t1\t890000010\n",
            "u.item": film_100k(1, 'Kite "Weather", The (1994)', "4-Feb-1995", "Comedy", "Children's")
            + film_100k(2, "Café Zero (1996)", "", "Drama")
            + film_100k(3, "unknown", "", "unknown"),
            "u.genre": "".join(f"{genre}|{place}\n" for place, genre in enumerate(GENRES)) + "\n",
            "u.user": "7|24|F|artist|00001\n9|73|M|none|A1B2C\n",
        },
    ),
    "ml-1m": (
        "latin-1",
        {
            "ratings.dat": "7::1::5::980000009\n7::2::3::980000000\n9::2::1::980000010\n",
            "movies.dat": "1::Kite Weather: Part One (1995)::Animation|Children's\n2::Café Zero (1996)::Drama\n",
            "users.dat": "7::M::1::4::00001\n9::F::45::12::00002-0003\n",
        },
    ),
    "ml-10m": (
        "utf-8",
        {
            "ratings.dat": "7::1::4.5::850000006\n7::2::3.5::850000000\n9::2::0.5::850000010\n",
            "movies.dat": "1::Kite Weather: Part One (1995)::Animation|IMAX\n2::Café Zero (1996)::(no genres listed)\n",
            "tags.dat": "7::1::wind!::1200000000\n",
        },
    ),
    "ml-latest-small": (
        "utf-8",
        {
            "ratings.csv": (
                "userId,movieId,rating,timestamp\n7,1,4.0,1500000003\n7,2,2.5,1500000000\n9,2,3.5,1500000010\n"
            ),
            "movies.csv": (
                'movieId,title,genres\n1,"Kite ""Weather"", The (1995)",Adventure|Children\n'
                "2,Café Zero (1975–1979),(no genres listed)\n"
            ),
            "tags.csv": "userId,movieId,tag,timestamp\n7,1,wind,1500000020\n",
            "links.csv": "movieId,imdbId,tmdbId\n1,0000001,1\n",
        },
    ),
}
"""Invented rows in the files and the encoding of each layout that GroupLens publishes."""


def write_archive(folder: Path, name: str, *, gzipped: bool = False) -> Path:
    encoding, files = ARCHIVES[name]
    folder.mkdir(exist_ok=True)
    for file, text in files.items():
        content = text.encode(encoding)
        (folder / f"{file}{'.gz' * gzipped}").write_bytes(gzip.compress(content) if gzipped else content)
    return folder


def write_event_files(folder: Path) -> Path:
    events = [
        {"event_id": f"e{n}", "event_time": f"2022-05-01T10:00:0{n}Z", "action": "click", "user_id": "u",
         "item_id": f"i{n}"}
        for n in (2, 1)
    ]  # fmt: skip
    lines = [json.dumps(event) for event in [*events, events[0]]]
    (folder / "events.jsonl").write_text("\n".join([*lines, '{"event_id": "torn', ""]))
    (folder / "items.jsonl").write_text('{"item_id": "i1", "title": "One", "categories": ["a"]}\n{"item_id": "i2"}\n')
    return folder


@pytest.fixture
def kuairand_folder(tmp_path: Path) -> Path:
    return write_kuairand(tmp_path)


@pytest.fixture
def events_folder(tmp_path: Path) -> Path:
    return write_event_files(tmp_path)
