"""KuaiRand's files as they are published."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from recloop.errors import SourceError
from recloop.events import Action
from recloop.labels import is_long_view
from recloop.sources.kuairand import KuaiRand
from tests.recloop.sources.conftest import LOG_HEADER, LOG_ROWS

LOG = "log_standard_4_25_to_5_04_pure_part.csv.gz"


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


def test_video_without_tag_or_duration_is_kept(kuairand_folder: Path) -> None:
    first, second = KuaiRand(kuairand_folder).items()
    assert first.categories == ("tag 3", "tag 9")
    assert (second.categories, second.duration_ms) == ((), None)


def test_truncated_log_is_named(kuairand_folder: Path) -> None:
    path = kuairand_folder / LOG
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"log_standard.*cannot be read to its end"):
        list(KuaiRand(kuairand_folder).events())


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
