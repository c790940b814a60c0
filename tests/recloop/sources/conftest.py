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
