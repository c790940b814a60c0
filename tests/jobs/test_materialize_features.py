"""What is copied into the online store, what waits, and what counts as copied. All views at once: tests/parity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.etl.lake import append
from jobs.etl.materialize_features import VIEWS, build_parser, materialize_features
from jobs.etl.stale import mark_stale, stale_since
from recloop.attributes import USER_ATTRIBUTES
from recloop.features import USER_PROFILE, USER_RECENT
from recloop.settings import Settings
from recloop.tables import CLEAN_EVENTS
from tests.lake import DAY_0, clean_frame, drop_tables, event, frame_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY, MS = timedelta(days=1), timedelta(milliseconds=1)


@pytest.mark.parametrize("options", [[], ["--end", "2022-05-02T00:00:00"], ["--end", "yesterday"]])
def test_end_must_be_given_with_its_offset(options: list[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(options)


class Lake:
    """A lake and an online store in which only this test's users are."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self.spark, self.settings = spark, settings

    def write_profile(self, user: str, segment: str, at: datetime, attributes: Sequence[str] = ()) -> None:
        row = (user, at, at, segment, None, None, list(attributes))
        append(frame_of(self.spark, [row], USER_PROFILE.table.ddl), USER_PROFILE.table)

    def copy(self, end: datetime, *, full: bool = False) -> dict[str, int]:
        return materialize_features(self.spark, self.settings, end=end, now=end, full=full).details

    def online(self, user: str, feature: str) -> Any:
        from jobs.etl.feature_store import open_feature_store

        store = open_feature_store(self.settings)
        answer = store.get_online_features([feature], [{"user_id": user}]).to_dict()
        return answer[feature.split(":")[1]][0]

    def segment(self, user: str) -> Any:
        return self.online(user, "user_profile:segment")


@pytest.fixture(scope="module")
def applied(spark: SparkSession, base_stack: Settings) -> Iterator[SparkSession]:
    from jobs.etl.apply_features import apply

    apply(spark, base_stack)
    yield spark
    drop_tables(spark)


@pytest.fixture
def lake(applied: SparkSession, empty_lake: SparkSession, base_stack: Settings) -> Lake:
    return Lake(empty_lake, base_stack)


@pytest.mark.spark
@pytest.mark.stack
class TestJob:
    def test_lake_without_tables_copies_nothing(self, lake: Lake) -> None:
        assert lake.copy(DAY_0) == {view.name: 0 for view in VIEWS}

    def test_rows_up_to_the_end_are_copied_and_later_ones_wait_for_their_turn(self, lake: Lake) -> None:
        end = DAY_0 + DAY
        for user, at in (("at-end", end), ("after-end", end + MS)):
            lake.write_profile(user, "x", at)
        mark_stale(lake.spark, USER_PROFILE.table, since=DAY_0)
        assert lake.copy(end)[USER_PROFILE.name] == 1
        assert (lake.segment("at-end"), lake.segment("after-end")) == ("x", None)
        assert stale_since(lake.spark, USER_PROFILE.table) == end
        assert lake.copy(end)[USER_PROFILE.name] == 0
        lake.copy(end + DAY)
        assert lake.segment("after-end") == "x"

    def test_newest_of_a_user_s_rows_is_copied_and_counts_once(self, lake: Lake) -> None:
        for day, segment in ((2, "new"), (1, "old")):
            lake.write_profile("two-rows", segment, DAY_0 + day * DAY)
        mark_stale(lake.spark, USER_PROFILE.table, since=DAY_0)
        assert lake.copy(DAY_0 + 3 * DAY)[USER_PROFILE.name] == 1
        assert lake.segment("two-rows") == "new"

    def test_attributes_are_online_as_they_were_in_the_lake(self, lake: Lake) -> None:
        texts = ["a=1=2", "größe=süß"]
        lake.write_profile("with-attributes", "x", DAY_0, texts)
        lake.write_profile("without-attributes", "x", DAY_0)
        assert lake.copy(DAY_0 + DAY, full=True)[USER_PROFILE.name] == 2
        assert lake.online("with-attributes", f"user_profile:{USER_ATTRIBUTES}") == texts
        assert not lake.online("without-attributes", f"user_profile:{USER_ATTRIBUTES}")

    def test_rows_that_nothing_marked_are_copied_only_in_full(self, lake: Lake) -> None:
        lake.write_profile("unmarked", "x", DAY_0)
        assert lake.copy(DAY_0 + DAY)[USER_PROFILE.name] == 0
        assert lake.segment("unmarked") is None
        assert lake.copy(DAY_0 + DAY, full=True)[USER_PROFILE.name] == 1
        assert lake.segment("unmarked") == "x"

    def test_mark_beyond_the_end_stays_where_it_is(self, lake: Lake) -> None:
        lake.write_profile("ahead", "x", DAY_0)
        mark_stale(lake.spark, USER_PROFILE.table, since=DAY_0 + 5 * DAY)
        assert lake.copy(DAY_0 + DAY)[USER_PROFILE.name] == 0
        assert stale_since(lake.spark, USER_PROFILE.table) == DAY_0 + 5 * DAY

    def test_sequences_are_of_the_users_with_new_events_and_end_before_the_end(self, lake: Lake) -> None:
        end = DAY_0 + 3 * DAY
        log = [
            event("idle", "click", user="idle"),
            event("past", "click", user="busy", item="past"),
            event("new", "save", user="busy", item="new", at=DAY_0 + 2 * DAY),
            event("late", "click", user="busy", item="too late", at=end),
        ]
        append(clean_frame(lake.spark, log), CLEAN_EVENTS)
        from jobs.etl.lake import create_tables

        create_tables(lake.spark, USER_RECENT.table)
        mark_stale(lake.spark, USER_RECENT.table, since=DAY_0 + 2 * DAY)
        assert lake.copy(end)[USER_RECENT.name] == 1
        assert lake.online("busy", "user_recent:recent_items") == ["past", "new"]
        assert lake.online("idle", "user_recent:recent_items") is None
        assert lake.copy(end, full=True)[USER_RECENT.name] == 2
        assert lake.online("idle", "user_recent:recent_items") == ["i"]
