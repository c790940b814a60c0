"""Training sets straight from a source: each row knows its past and nothing else, and training reads the folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recloop.aggregates import Rows, item_daily, user_daily
from recloop.catalog import CatalogItem, CatalogUser
from recloop.clock import MS_PER_DAY, from_ms, to_ms
from recloop.errors import SourceError, TrainingError
from recloop.events import Event
from recloop.features import ITEM_DAILY, RANKING_V1, USER_DAILY, FeatureView, contract_id
from recloop.labels import attribute
from recloop.sources.event_files import EventFiles
from recloop.splits import split_by_time
from recloop.training_set import (
    EXAMPLE_COLUMNS,
    INTERACTION_COLUMNS,
    ITEM_COLUMNS,
    POPULARITY_COLUMNS,
    USER_COLUMNS,
    TrainingFile,
)
from tests.lake import DAY_0, event, random_log
from tests.training.listed_source import ListedSource
from tests.training.same_numbers import assert_same
from tests.training.synthetic import SyntheticSource
from training.data.reader import read_training_set
from training.source.build import build_source_set

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
UNTIL = DAY_0 + 6 * DAY
CATEGORIES = {"i0": ("drama",), "i1": ("drama", "war"), "i2": ("war",), "i3": ("art",)}
ITEMS = [CatalogItem(item_id=item_id, title=item_id, categories=names) for item_id, names in CATEGORIES.items()]


def build(log: Sequence[Event], out: Path, *, users: Sequence[CatalogUser] = (), **options: Any) -> dict[str, Any]:
    given = {"until": UNTIL, "window": 24 * HOUR, "seed": 1, **options}
    return build_source_set(ListedSource(log, ITEMS, users), out, **given)


def rows(folder: Path, file: TrainingFile = TrainingFile.EXAMPLES) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / file).to_pylist()
    return found


def in_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def known_by_kernel(view: FeatureView, log: list[Event], at: datetime) -> Rows:
    """Return each entity's newest row whose day had ended by a moment."""
    newest: Rows = {}
    day = DAY_0
    while day + DAY <= at:
        on = day.date()
        newest |= user_daily(log, day=on, categories=CATEGORIES) if view is USER_DAILY else item_daily(log, day=on)
        day += DAY
    return newest


def assert_features(row: dict[str, Any], view: FeatureView, known: Rows) -> None:
    values = known.get(row[view.entity.value])
    for name in RANKING_V1.names(view):
        assert_same(row[name], None if values is None else values[name], (row[view.entity.value], name))


@pytest.mark.parametrize("seed", range(3))
def test_examples_have_the_labels_and_features_of_the_reference(seed: int, tmp_path: Path) -> None:
    log = random_log(seed, n_events=400)
    build(log, tmp_path / "set")
    examples = rows(tmp_path / "set")
    known = {
        view: [known_by_kernel(view, log, DAY_0 + number * DAY) for number in range(7)]
        for view in (USER_DAILY, ITEM_DAILY)
    }
    for row in examples:
        day = (row["event_time_ms"] - to_ms(DAY_0)) // MS_PER_DAY
        for view, of_day in known.items():
            assert_features(row, view, of_day[day])
    interactions = [to_ms(each.event_time) for each in log if each.action != "impression"]
    split = split_by_time(interactions, end_ms=to_ms(UNTIL))
    expected = [row for row in attribute(log, window=24 * HOUR) if to_ms(row.cause.event_time) >= split.stack_ms]
    labels = [row for row in examples if not row["sampled"]]
    assert [(row["label_id"], row["click"]) for row in labels] == [
        (row.cause.event_id, int("click" in row.outcomes)) for row in expected
    ]
    assert 0 < len(labels) < len(log)


def test_items_have_what_was_known_when_the_holdout_begins(tmp_path: Path) -> None:
    log = random_log(4, n_events=400)
    facts = build(log, tmp_path / "set")
    known = known_by_kernel(ITEM_DAILY, log, from_ms(facts["split"]["holdout_ms"]))
    found = rows(tmp_path / "set", TrainingFile.ITEMS)
    # i4 and i5 are in the log alone.
    assert [(row["item_id"], row["title"], row["categories"]) for row in found] == [
        *((item_id, item_id, list(names)) for item_id, names in CATEGORIES.items()),
        ("i4", None, []),
        ("i5", None, []),
    ]
    assert len(known) == 6
    for row in found:
        assert_features(row, ITEM_DAILY, known)


def test_training_reads_the_folder(tmp_path: Path) -> None:
    made_up = SyntheticSource()
    source = ListedSource(list(made_up.events()), list(made_up.items()), list(made_up.users()))
    facts = build_source_set(source, tmp_path, until=from_ms(2**41), window=24 * HOUR, seed=1)
    training_set = read_training_set(tmp_path)
    assert len(training_set.examples) == facts["counts"]["examples"] > 1_000
    assert len(training_set.interactions.items) == facts["counts"]["interactions"]
    assert training_set.examples.sampled.any()
    assert training_set.popularity["all"]
    assert vars(training_set.split) == facts["split"]


def test_files_and_columns_are_those_that_training_reads(tmp_path: Path) -> None:
    build(random_log(1, n_events=300), tmp_path / "set")
    assert {path.name for path in (tmp_path / "set").iterdir()} == set(TrainingFile)
    for file, columns in (
        (TrainingFile.EXAMPLES, EXAMPLE_COLUMNS),
        (TrainingFile.INTERACTIONS, INTERACTION_COLUMNS),
        (TrainingFile.ITEMS, ITEM_COLUMNS),
        (TrainingFile.USERS, USER_COLUMNS),
        (TrainingFile.POPULARITY, (*POPULARITY_COLUMNS, "feature_time_ms")),
    ):
        assert pq.read_schema(tmp_path / "set" / file).names == [str(name) for name in columns], file


def test_building_again_gives_the_same_bytes_whatever_comes_after_the_end(tmp_path: Path) -> None:
    log = random_log(2, n_events=400)
    facts = build(log, tmp_path / "one")
    later = [
        event("later", "like", user="u0", item="i0", at=UNTIL),
        event("news", "click", user="v", item="w", at=UNTIL),
    ]
    assert build([*reversed(log), *later], tmp_path / "two") == facts
    assert in_bytes(tmp_path / "one") == in_bytes(tmp_path / "two")
    assert json.loads((tmp_path / "one" / TrainingFile.SNAPSHOT).read_text()) == facts
    assert (facts["until_ms"], facts["contract_id"]) == (to_ms(UNTIL), contract_id())


def test_another_log_has_another_snapshot(tmp_path: Path) -> None:
    log = random_log(2, n_events=400)
    other = [*log, event("more", "click", user="u0", item="i0", at=UNTIL - HOUR)]
    assert build(log, tmp_path)["snapshots"] != build(other, tmp_path)["snapshots"]


class TestGivenSpan:
    """`examples_from` names where the examples and the holdout begin."""

    def test_examples_and_holdout_begin_there_whatever_the_split_says(self, tmp_path: Path) -> None:
        log, start = random_log(5, n_events=400), DAY_0 + 2 * DAY + HOUR
        facts = build(log, tmp_path, examples_from=start)
        first = min(to_ms(each.event_time) for each in log if each.action != "impression")
        assert facts["split"] == {
            "start_ms": first, "stack_ms": to_ms(start), "holdout_ms": to_ms(start), "end_ms": to_ms(UNTIL)
        }  # fmt: skip
        expected = [row for row in attribute(log, window=24 * HOUR) if row.cause.event_time >= start]
        assert sum(not row["sampled"] for row in rows(tmp_path)) == len(expected) > 100
        assert min(row["event_time_ms"] for row in rows(tmp_path)) == to_ms(min(e.cause.event_time for e in expected))
        known = known_by_kernel(ITEM_DAILY, log, start)
        for row in rows(tmp_path, TrainingFile.ITEMS):
            assert_features(row, ITEM_DAILY, known)

    def test_log_too_small_to_split_will_do(self, tmp_path: Path) -> None:
        log = [event("old", "click", item="i1"), event("new", "like", at=DAY_0 + 2 * DAY)]
        with pytest.raises(TrainingError, match="2 events lie before the end"):
            build(log, tmp_path / "set")
        build(log, tmp_path / "set", examples_from=DAY_0 + 2 * DAY)
        training_set = read_training_set(tmp_path / "set")
        # One user, one label; the other item was met by the user and is no negative.
        assert (len(training_set.examples), training_set.items.ids) == (1, ("i", "i0", "i1", "i2", "i3"))

    def test_nothing_in_the_span_names_what_is_there(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"(?s)between 2022-05-05T.*are from 2022-05-01T00.* to 2022-05-02T00"):
            build([event("a", "click"), event("b", "click", at=DAY_0 + DAY)], tmp_path, examples_from=DAY_0 + 4 * DAY)

    def test_span_before_which_no_day_ended_has_nothing_to_judge_against(self, tmp_path: Path) -> None:
        log = [event("a", "click"), event("b", "click", at=DAY_0 + HOUR)]
        with pytest.raises(TrainingError, match="no day with an event ended before 2022-05-01T01"):
            build(log, tmp_path / "set", examples_from=DAY_0 + HOUR)
        assert not list(tmp_path.iterdir())


def test_impressions_alone_teach_nothing(tmp_path: Path) -> None:
    log = [event(f"e{n}", "impression", at=DAY_0 + n * HOUR) for n in range(120)]
    for start in (None, DAY_0 + 2 * DAY):
        with pytest.raises(TrainingError, match=r"all 120 events before .* are impressions"):
            build(log, tmp_path, examples_from=start)


def test_negatives_are_sampled_where_they_are_asked_for(tmp_path: Path) -> None:
    log = [event(f"e{n}", "click", user="v", item=f"i{n}") for n in range(4)]
    log.append(event("clicked", "click", item="i0", at=DAY_0 + 2 * DAY))
    build(log, tmp_path / "with", examples_from=DAY_0 + DAY)
    build(log, tmp_path / "without", examples_from=DAY_0 + DAY, with_negatives=False)
    found = {name: [(row["item_id"], row["sampled"]) for row in rows(tmp_path / name)] for name in ("with", "without")}
    assert found["with"] == [("i0", False), ("i1", True), ("i2", True), ("i3", True)]
    assert found["without"] == [("i0", False)]
    assert pq.read_schema(tmp_path / "with" / TrainingFile.EXAMPLES) == pq.read_schema(
        tmp_path / "without" / TrainingFile.EXAMPLES
    )


def test_newest_label_rows_are_kept(tmp_path: Path) -> None:
    log = random_log(6, n_events=400)
    build(log, tmp_path / "all", with_negatives=False)
    build(log, tmp_path / "some", with_negatives=False, most=10)
    assert rows(tmp_path / "some") != []
    newest = sorted(rows(tmp_path / "all"), key=lambda row: (-row["event_time_ms"], row["label_id"]))[:10]
    assert sorted(row["label_id"] for row in rows(tmp_path / "some")) == sorted(row["label_id"] for row in newest)


def test_profile_is_read_from_when_it_became_true(tmp_path: Path) -> None:
    moment = DAY_0 + 3 * DAY
    users = [
        CatalogUser(user_id="always", segment="x"),
        CatalogUser(user_id="since", segment="y", updated_at=moment),
        CatalogUser(user_id="later", segment="z", updated_at=UNTIL + HOUR),
    ]
    log = [event("old", "click", user="always")]
    log += [
        event(f"{user}-{at.isoformat()}", "click", user=user, at=at)
        for user in ("always", "since", "later", "stranger")
        for at in (moment - timedelta(milliseconds=1), moment)
    ]
    build(log, tmp_path, users=users, examples_from=DAY_0 + 2 * DAY, with_negatives=False)
    found = {name: [row["segment"] for row in rows(tmp_path) if row["user_id"] == name] for name in
             ("always", "since", "later", "stranger")}  # fmt: skip
    assert found == {"always": ["x", "x"], "since": [None, "y"], "later": [None, None], "stranger": [None, None]}
    assert [row["user_id"] for row in rows(tmp_path, TrainingFile.USERS)] == ["always", "since"]


def test_attributes_are_read_from_when_they_became_true_and_reach_the_user_state(tmp_path: Path) -> None:
    moment = DAY_0 + 3 * DAY
    users = [
        CatalogUser(user_id="none"),
        CatalogUser(user_id="several", attributes={"größe": "süß", "a": "1=2", "unknown": ""}),
        CatalogUser(user_id="since", attributes={"a": "new"}, updated_at=moment),
    ]
    log = [event("old", "click", user="none")]
    log += [
        event(f"{user}-{at.isoformat()}", "click", user=user, at=at)
        for user in ("none", "several", "since", "stranger")
        for at in (moment - timedelta(milliseconds=1), moment)
    ]
    build(log, tmp_path, users=users, examples_from=DAY_0 + 2 * DAY, with_negatives=False)
    several, new = {"größe": "süß", "a": "1=2"}, {"a": "new"}
    expected = {"none": [{}, {}], "several": [several, several], "since": [{}, new], "stranger": [{}, {}]}
    training_set = read_training_set(tmp_path)
    states = [training_set.user_state(row) for row in range(len(training_set.examples))]
    assert {name: [state.attributes for state in states if state.user_id == name] for name in expected} == expected
    assert training_set.users == {"none": {}, "several": several, "since": new}
    texts = {row["user_id"]: row["user_attributes"] for row in rows(tmp_path, TrainingFile.USERS)}
    assert texts == {"none": [], "several": ["a=1=2", "größe=süß"], "since": ["a=new"]}


def test_text_of_many_examples_is_held_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables: dict[str, pa.Table] = {}
    monkeypatch.setattr("training.source.build.write_folder", lambda out, found, facts: tables.update(found))
    users = [CatalogUser(user_id=f"u{n}", attributes={"same": "x" * 60, "own": str(n)}) for n in range(9)]
    build(random_log(1, n_events=300), tmp_path, users=users)
    (chunk,) = tables["examples"]["user_attributes"].chunks
    # Two GiB of texts, once per row, are more than a column of lists can hold.
    assert len(chunk) > 50
    assert sorted(chunk.values.dictionary.to_pylist()) == [*(f"own={n}" for n in range(9)), "same=" + "x" * 60]


def test_row_of_a_day_is_read_when_its_run_has_written_it(tmp_path: Path) -> None:
    log = [event("older", "click", at=DAY_0 - DAY), event("old", "click")]
    log += [event(f"e{n}", "view", at=DAY_0 + DAY + n * HOUR) for n in (1, 2, 3)]
    build(log, tmp_path, run_delay=3 * HOUR, examples_from=DAY_0 + DAY + HOUR, with_negatives=False)
    # Until three o'clock the row of the day before is not written yet; with it, two touches count, one a day old.
    assert [row["user_touches"] for row in rows(tmp_path)] == pytest.approx([1, 1, 1 + 0.5 ** (1 / 30)])
    of_item = next(row for row in rows(tmp_path, TrainingFile.ITEMS) if row["item_id"] == "i")
    assert of_item["item_feature_ms"] == to_ms(DAY_0)


def test_event_named_twice_counts_once_and_what_is_none_is_counted(tmp_path: Path) -> None:
    log = [event(f"e{n}", "click", item=f"i{n}", at=DAY_0 + n * HOUR) for n in range(60)]
    lines = [each.to_json().decode() for each in [*log, *log[10:20]]]
    (tmp_path / "events.jsonl").write_text("\n".join([*lines, "torn", "{}"]))
    facts = build_source_set(
        EventFiles(tmp_path), tmp_path / "set", until=UNTIL, window=24 * HOUR, seed=1, examples_from=DAY_0 + 2 * DAY
    )
    assert (facts["counts"]["interactions"], facts["left_out"]) == (60, {"malformed": 2, "repeated": 10})
    assert json.loads((tmp_path / "set" / TrainingFile.SNAPSHOT).read_text()) == facts


def test_first_row_of_an_item_or_user_counts(tmp_path: Path) -> None:
    log = random_log(1, n_events=400)
    items = [CatalogItem(item_id="i0", title=title, categories=(title,)) for title in ("first", "other")]
    users = [CatalogUser(user_id="u0", segment=segment) for segment in ("first", "other")]
    for name, source in (
        ("once", ListedSource(log, items[:1], users[:1])),
        ("twice", ListedSource(log, items, users)),
    ):
        build_source_set(source, tmp_path / name, until=UNTIL, window=24 * HOUR, seed=1)
    assert in_bytes(tmp_path / "once") == in_bytes(tmp_path / "twice")
    assert [row["title"] for row in rows(tmp_path / "twice", TrainingFile.ITEMS) if row["item_id"] == "i0"] == ["first"]
    assert [row["segment"] for row in rows(tmp_path / "twice", TrainingFile.USERS)] == ["first"]


def test_source_that_cannot_be_read_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("torn")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "kept").touch()
    with pytest.raises(SourceError, match="no well-formed event"):
        build_source_set(EventFiles(tmp_path), tmp_path / "set", until=UNTIL, window=HOUR, seed=1)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["kept"]
