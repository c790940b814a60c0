"""One number, four ways: kernel = Spark's table = Feast offline = Feast online, through the real jobs and stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from recloop.aggregates import Rows, item_daily, segment_daily, user_daily
from recloop.attributes import USER_ATTRIBUTES, attribute_texts, parse_attributes
from recloop.clock import to_ms
from recloop.events import Action, Event
from recloop.features import (
    EVERYONE,
    ITEM_DAILY,
    RANKING_V1,
    SEGMENT_DAILY,
    SERVING_V1,
    USER_DAILY,
    USER_PROFILE,
    USER_RECENT,
    FeatureView,
)
from recloop.sequences import Entry, entry, merge, recent_actions
from recloop.settings import Settings
from recloop.tables import CLEAN_EVENTS, Column
from tests.lake import DAY_0, clean_frame, drop_tables, event, frame_of, random_log

if TYPE_CHECKING:
    from feast import FeatureStore
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.stack]

N_DAYS = 5
DAY = timedelta(days=1)
END = DAY_0 + N_DAYS * DAY
USERS, ITEMS = [f"u{n}" for n in range(5)], [f"i{n}" for n in range(6)]
CATEGORIES = {item: ["even" if int(item[1:]) % 2 == 0 else "odd", "all"] for item in ITEMS}
SEGMENTS = {"u0": "x", "u1": "x", "u2": "y", "u3": "y"}
ATTRIBUTES = {"u0": {"größe": "süß", "b": "1=2", "a": "年"}, "u1": {"a": "1"}, "u2": {}}


@dataclass(frozen=True)
class Loop:
    """What went through the jobs, and where it is now."""

    spark: SparkSession
    store: FeatureStore
    log: list[Event]


@pytest.fixture(scope="module")
def loop(spark: SparkSession, base_stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    from jobs.etl.apply_features import apply
    from jobs.etl.compute_features import compute_features
    from jobs.etl.feature_store import open_feature_store
    from jobs.etl.lake import append
    from jobs.etl.land_catalog import land_catalog
    from jobs.etl.materialize_features import materialize_features
    from jobs.etl.stale import mark_stale

    drop_tables(spark)
    folder = tmp_path_factory.mktemp("catalog")
    items = [{"item_id": item, "categories": names} for item, names in CATEGORIES.items()]
    users = [
        {"user_id": user, "segment": segment, "gender": "F", "attributes": ATTRIBUTES.get(user)}
        for user, segment in SEGMENTS.items()
    ]
    for name, rows in (("items", items), ("users", users)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = random_log(11, n_events=400, n_users=len(USERS), n_items=len(ITEMS), days=N_DAYS)
    land_catalog(spark, folder, now=END)
    append(clean_frame(spark, log), CLEAN_EVENTS)
    apply(spark, base_stack)
    mark_stale(spark, USER_RECENT.table, since=DAY_0)
    compute_features(spark, start=DAY_0, end=END, now=END, as_scheduled=True)
    materialize_features(spark, base_stack, end=END, now=END)
    yield Loop(spark, open_feature_store(base_stack), log)
    drop_tables(spark)


def by_kernel(view: FeatureView, log: list[Event], day: date) -> Rows:
    if view is USER_DAILY:
        return user_daily(log, day=day, categories=CATEGORIES)
    return item_daily(log, day=day) if view is ITEM_DAILY else segment_daily(log, day=day, segments=SEGMENTS)


def newest_by_kernel(view: FeatureView, log: list[Event], until: date) -> Rows:
    """Return each entity's row of its newest day up to `until`."""
    newest: Rows = {}
    day = DAY_0.date()
    while day <= until:
        newest |= by_kernel(view, log, day)
        day += DAY
    return newest


def assert_equal(found: Any, expected: Any, what: object) -> None:
    if isinstance(expected, list):
        assert len(found) == len(expected), what
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other, what)
    elif isinstance(expected, float):
        # Feature tables hold 32-bit floats.
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6), what
    else:
        assert found == expected, what


@pytest.mark.parametrize("view", [USER_DAILY, ITEM_DAILY, SEGMENT_DAILY], ids=lambda view: view.name)
def test_tables_hold_what_the_kernel_computes(loop: Loop, view: FeatureView) -> None:
    rows = loop.spark.table(view.table.full_name).collect()
    found = {(row[view.entity.value], row[Column.FEATURE_TIME].replace(tzinfo=DAY_0.tzinfo)): row for row in rows}
    assert len(found) == len(rows)
    n_expected = 0
    for number in range(N_DAYS):
        for entity, values in by_kernel(view, loop.log, (DAY_0 + number * DAY).date()).items():
            row = found[entity, DAY_0 + (number + 1) * DAY]
            # As the daily run would have written it: two hours after the day ended.
            assert row[Column.CREATED_AT] - row[Column.FEATURE_TIME] == timedelta(hours=2)
            for name, value in values.items():
                assert_equal(row[name], value, (view.name, entity, number, name))
            n_expected += 1
    assert n_expected == len(rows) > 0


@pytest.mark.parametrize(
    ("at", "newest_day"),
    [
        pytest.param(DAY_0 + 3 * DAY + timedelta(hours=2), 2, id="at_the_moment_it_was_written"),
        pytest.param(DAY_0 + 3 * DAY + timedelta(hours=2) - timedelta(milliseconds=1), 1, id="a_millisecond_before"),
        pytest.param(DAY_0 + timedelta(hours=5), None, id="before_any"),
    ],
)
def test_point_in_time_join_reads_what_was_known_by_then(loop: Loop, at: datetime, newest_day: int | None) -> None:
    import pyarrow as pa

    from jobs.etl.training_examples import with_features

    pairs = [(user, item) for user in USERS for item in ITEMS]
    examples = pa.table(
        {
            "user_id": [user for user, _ in pairs],
            "item_id": [item for _, item in pairs],
            "event_time_ms": [to_ms(at)] * len(pairs),
        }
    )
    rows = with_features(loop.spark, loop.store, examples, RANKING_V1).to_pylist()
    assert [(row["user_id"], row["item_id"]) for row in rows] == pairs
    until = DAY_0.date() - DAY if newest_day is None else (DAY_0 + newest_day * DAY).date()
    users, items = (newest_by_kernel(view, loop.log, until) for view in (USER_DAILY, ITEM_DAILY))
    assert bool(users) == bool(items) == (newest_day is not None)
    for row in rows:
        assert row["segment"] == SEGMENTS.get(row["user_id"])
        texts = attribute_texts(ATTRIBUTES.get(row["user_id"]))
        assert row[USER_ATTRIBUTES] == (texts if row["user_id"] in SEGMENTS else None)
        for view, known, entity in ((USER_DAILY, users, row["user_id"]), (ITEM_DAILY, items, row["item_id"])):
            for name in RANKING_V1.names(view):
                assert_equal(row[name], known[entity][name] if entity in known else None, (entity, name))


def online(loop: Loop, view: FeatureView, entities: list[str]) -> dict[str, dict[str, Any]]:
    refs = [f"{view.name}:{name}" for name in view.names]
    answer = loop.store.get_online_features(refs, [{view.entity.value: each} for each in entities]).to_dict()
    return {each: {name: answer[name][place] for name in view.names} for place, each in enumerate(entities)}


@pytest.mark.parametrize("view", [USER_DAILY, SEGMENT_DAILY], ids=lambda view: view.name)
def test_online_store_holds_the_newest_row(loop: Loop, view: FeatureView) -> None:
    expected = newest_by_kernel(view, loop.log, (END - DAY).date())
    assert expected.keys() == (set(USERS) if view is USER_DAILY else {EVERYONE, "x", "y"})
    found = online(loop, view, list(expected))
    for entity, values in expected.items():
        for name, value in values.items():
            assert_equal(found[entity][name], value, (entity, name))


def test_online_profiles_are_those_of_the_catalogue(loop: Loop) -> None:
    found = online(loop, USER_PROFILE, USERS)
    texts = {user: row.pop(USER_ATTRIBUTES) for user, row in found.items()}
    assert found["u0"] == {"segment": "x", "age_group": None, "gender": "F"}
    assert found["u4"] == {"segment": None, "age_group": None, "gender": None}
    assert texts["u0"] == ["a=年", "b=1=2", "größe=süß"]
    assert {user: parse_attributes(own) for user, own in texts.items()} == {
        user: ATTRIBUTES.get(user, {}) for user in USERS
    }


def sequences(log: list[Event]) -> dict[str, tuple[list[Any], ...]]:
    state: dict[str, list[Entry]] = {}
    for each in log:
        if each.action != Action.IMPRESSION and (new := entry(each)):
            state[each.user_id] = merge(state.get(each.user_id, []), [new])
    found = {user: recent_actions(entries) for user, entries in state.items()}
    return {user: ([*seq.item_ids], [*seq.actions], [*seq.times_ms], [*seq.dwell_ms]) for user, seq in found.items()}


def test_backfilled_history_is_online_as_the_stream_would_have_it(loop: Loop) -> None:
    expected = sequences(loop.log)
    assert expected.keys() == set(USERS)
    found = online(loop, USER_RECENT, USERS)
    assert {user: tuple(row[name] for name in USER_RECENT.names) for user, row in found.items()} == expected


def test_one_request_reads_every_view_of_its_service(loop: Loop) -> None:
    service = loop.store.get_feature_service(SERVING_V1.name)
    answer = loop.store.get_online_features(service, [{"user_id": "u0"}]).to_dict()
    assert {name for view in SERVING_V1.views for name in SERVING_V1.names(view)} <= answer.keys()


class TestLater:
    """What happens after the first copy; each test goes on from the one before."""

    def test_row_that_the_stream_made_newer_stays(self, loop: Loop, base_stack: Settings) -> None:
        import pandas as pd

        from jobs.etl.lake import append
        from jobs.etl.materialize_features import materialize_features
        from jobs.etl.stale import mark_stale

        newer = {"user_id": "u0", "feature_time": END + DAY, "created_at": END + DAY, "recent_items": ["live"],
                 "recent_actions": ["save"], "recent_times_ms": [to_ms(END + DAY)], "recent_dwell_ms": [0]}  # fmt: skip
        loop.store.write_to_online_store(USER_RECENT.name, pd.DataFrame([newer]))
        late = [event(f"late-{user}", "click", user=user, at=END - timedelta(minutes=1)) for user in ("u0", "u1")]
        append(clean_frame(loop.spark, late), CLEAN_EVENTS)
        mark_stale(loop.spark, USER_RECENT.table, since=END - DAY)
        materialize_features(loop.spark, base_stack, end=END + DAY, now=END + DAY)
        found = online(loop, USER_RECENT, ["u0", "u1"])
        assert found["u0"]["recent_items"] == ["live"]
        assert found["u1"]["recent_items"][-1] == "i"

    def test_recomputed_day_reaches_the_online_store(self, loop: Loop, base_stack: Settings) -> None:
        from jobs.etl.compute_features import compute_features
        from jobs.etl.materialize_features import materialize_features

        log = [
            *loop.log,
            *(event(f"late-{user}", "click", user=user, at=END - timedelta(minutes=1)) for user in ("u0", "u1")),
        ]
        before = online(loop, USER_DAILY, ["u1"])
        compute_features(loop.spark, start=END - DAY, end=END, now=END, as_scheduled=True)
        assert materialize_features(loop.spark, base_stack, end=END + DAY, now=END + DAY).details["user_daily"] > 0
        found, expected = (
            online(loop, USER_DAILY, ["u1"]),
            user_daily(log, day=(END - DAY).date(), categories=CATEGORIES),
        )
        assert found != before
        for name, value in expected["u1"].items():
            assert_equal(found["u1"][name], value, name)

    def test_nothing_new_copies_nothing(self, loop: Loop, base_stack: Settings) -> None:
        from jobs.etl.materialize_features import materialize_features

        assert materialize_features(loop.spark, base_stack, end=END + DAY, now=END + DAY).rows_out == 0

    def test_row_created_later_does_not_leak_into_the_join(self, loop: Loop) -> None:
        import pyarrow as pa

        from jobs.etl.lake import append
        from jobs.etl.training_examples import with_features

        at = DAY_0 + 3 * DAY + timedelta(hours=12)
        examples = pa.table({"user_id": ["u0"], "item_id": ["i0"], "event_time_ms": [to_ms(at)]})
        before = with_features(loop.spark, loop.store, examples, RANKING_V1).to_pylist()
        row = loop.spark.table(ITEM_DAILY.table.full_name).where("item_id = 'i0'").first()
        assert row is not None
        # One of the past that was written an hour after, and one of a minute after that claims to be old.
        planted = [
            row.asDict() | {"feature_time": at - timedelta(hours=1), "created_at": at + timedelta(hours=1)},
            row.asDict() | {"feature_time": at + timedelta(minutes=1), "created_at": DAY_0},
        ]
        values = [
            tuple((each | {"item_touches": 999.0})[str(name)] for name in ITEM_DAILY.table.columns) for each in planted
        ]
        append(frame_of(loop.spark, values, ITEM_DAILY.table.ddl), ITEM_DAILY.table)
        assert before[0]["item_touches"] is not None
        assert with_features(loop.spark, loop.store, examples, RANKING_V1).to_pylist() == before
        # The same row is read by those who come after it was written, so the plant was no dud.
        after = examples.set_column(2, "event_time_ms", pa.array([to_ms(at + timedelta(hours=2))]))
        assert with_features(loop.spark, loop.store, after, RANKING_V1)["item_touches"].to_pylist() == [999.0]
