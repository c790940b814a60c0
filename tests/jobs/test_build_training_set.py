"""Training sets out of real films: nothing of the future, the same again, and every file as its readers expect it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from jobs.etl.build_training_set import build_training_set
from jobs.etl.compute_features import RUN_DELAY
from recloop.clock import MS_PER_DAY, from_ms, parse_time
from recloop.features import ITEM_DAILY, RANKING_V1, SEGMENT_DAILY, USER_PROFILE, contract_id
from recloop.settings import Settings
from recloop.splits import split_by_time
from recloop.tables import CLEAN_EVENTS
from recloop.training_set import (
    EXAMPLE_COLUMNS,
    EXPOSURE_COLUMNS,
    INTERACTION_COLUMNS,
    ITEM_COLUMNS,
    POPULARITY_COLUMNS,
    USER_COLUMNS,
    TrainingFile,
)
from tests.lake import drop_tables

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

N_EVENTS, N_BEFORE = 4_000, 3_600
RUN_DELAY_MS = RUN_DELAY // timedelta(milliseconds=1)


@dataclass(frozen=True)
class Built:
    """A lake of films and the training set of everything before the last 400 events."""

    spark: SparkSession
    settings: Settings
    folder: Path
    until_ms: int

    def read(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.folder / f"{name}.parquet")


def prepare(folder: Path) -> list[int]:
    """Write the newest films' ratings to `folder`; return their times in ms."""
    from jobs.prepare_data import main
    from recloop.clock import to_ms

    assert main(["--data", "movielens", "--out", str(folder), "--limit", str(N_EVENTS), "--live", "1"]) == 0
    lines = (folder / "history" / "events.jsonl").read_text().splitlines()
    return [to_ms(parse_time(json.loads(line)["event_time"])) for line in lines]


@pytest.fixture(scope="module")
def built(spark: SparkSession, base_stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    from jobs.etl.apply_features import apply
    from jobs.etl.attribute_labels import label
    from jobs.etl.clean_events import clean
    from jobs.etl.compute_features import compute_features
    from jobs.etl.lake import create_tables
    from jobs.etl.land_catalog import land_catalog
    from jobs.etl.land_events import land_files
    from recloop.clock import SystemClock
    from recloop.tables import RAW_EVENTS

    drop_tables(spark)
    folder = tmp_path_factory.mktemp("films")
    times = prepare(folder)
    start, end, clock = from_ms(times[0]), from_ms(times[-1] + 1), SystemClock()
    land_catalog(spark, folder / "history", now=clock.now())
    create_tables(spark, RAW_EVENTS)
    assert land_files(spark, folder / "history", start=start, end=end, clock=clock).rows_out == len(times)
    assert clean(spark, start=start, end=end).rows_out == len(times)
    label(spark, start=start, end=end, window=timedelta(hours=24))
    apply(spark, base_stack)
    compute_features(spark, start=start, end=end, now=clock.now(), as_scheduled=True)
    result = Built(spark, base_stack, folder / "set", times[N_BEFORE])
    build_training_set(spark, base_stack, until=from_ms(result.until_ms), out=result.folder)
    yield result
    drop_tables(spark)


@pytest.mark.spark
@pytest.mark.stack
class TestFolder:
    def test_interactions_are_all_before_the_end_by_user_and_time(self, built: Built) -> None:
        rows = built.read("interactions")
        events = built.spark.table(CLEAN_EVENTS.full_name)
        assert 0 < len(rows) == events.where(f"unix_millis(event_time) < {built.until_ms}").count() < events.count()
        assert rows["event_time_ms"].max() < built.until_ms
        assert rows.equals(rows.sort_values(["user_id", "event_time_ms", "event_hash"], ignore_index=True))

    def test_examples_lie_in_the_later_spans(self, built: Built) -> None:
        times = built.read("interactions")["event_time_ms"].to_numpy()
        split = split_by_time(times, end_ms=built.until_ms)
        rows = built.read("examples")
        labels = rows[~rows["sampled"]]
        assert len(labels) == np.sum(times >= split.stack_ms)
        assert rows["event_time_ms"].between(split.stack_ms, split.end_ms, inclusive="left").all()

    def test_features_were_written_before_the_row_happened(self, built: Built) -> None:
        rows = built.read("examples")
        for name in ("user_feature_ms", "item_feature_ms"):
            known = rows[rows[name].notna()]
            assert len(known) > 100
            assert (known[name] + RUN_DELAY_MS <= known["event_time_ms"]).all()
        known = rows[rows["user_last_ms"].notna()]
        assert (known["user_last_ms"] < known["event_time_ms"]).all()
        known = rows[rows["item_first_ms"].notna()]
        assert (known["item_first_ms"] < known["event_time_ms"]).all()

    def test_sampled_negatives_were_there_by_then_and_untouched(self, built: Built) -> None:
        rows, log = built.read("examples"), built.read("interactions")
        negatives = rows[rows["sampled"]]
        positives = rows[~rows["sampled"] & (rows["click"] == 1)]
        assert 3 < len(negatives) / len(positives) <= 4
        assert not negatives[["click", "long_view", "like", "hide"]].to_numpy().any()
        touched = set(zip(log["user_id"], log["item_id"], strict=True))
        assert not touched & set(zip(negatives["user_id"], negatives["item_id"], strict=True))
        first_day = log.groupby("item_id")["event_time_ms"].min() // MS_PER_DAY
        assert (negatives["item_id"].map(first_day) < negatives["event_time_ms"] // MS_PER_DAY).all()

    def test_items_have_what_was_known_at_the_holdout(self, built: Built) -> None:
        facts, rows = self.facts(built), built.read("items")
        assert {"item_id", "title", "categories", "author_id", "duration_ms", "published_ms"} <= set(rows.columns)
        assert len(rows) == 1_682
        assert rows["title"].notna().all()
        known = rows["item_feature_ms"].dropna()
        assert len(known) > 100
        assert (known + RUN_DELAY_MS <= facts["split"]["holdout_ms"]).all()
        assert list(rows.columns[-len(ITEM_DAILY.names) :]) == list(ITEM_DAILY.names)

    def test_popularity_and_users_are_complete(self, built: Built) -> None:
        popularity, users = built.read("popularity"), built.read("users")
        assert {"segment", *SEGMENT_DAILY.names, "feature_time_ms"} == set(popularity.columns)
        assert "all" in set(popularity["segment"])
        assert {"user_id", *USER_PROFILE.names} == set(users.columns)
        assert len(users) == 943

    def test_columns_of_the_examples_are_the_services_features(self, built: Built) -> None:
        names = [name for view in RANKING_V1.views for name in RANKING_V1.names(view)]
        assert list(built.read("examples").columns[-len(names) :]) == names

    def test_files_and_columns_are_those_that_training_reads(self, built: Built) -> None:
        import pyarrow.parquet as pq

        assert {path.name for path in built.folder.iterdir()} == set(TrainingFile)
        for file, columns in (
            (TrainingFile.EXAMPLES, EXAMPLE_COLUMNS),
            (TrainingFile.EXPOSURES, EXPOSURE_COLUMNS),
            (TrainingFile.INTERACTIONS, INTERACTION_COLUMNS),
            (TrainingFile.ITEMS, ITEM_COLUMNS),
            (TrainingFile.USERS, USER_COLUMNS),
            (TrainingFile.POPULARITY, (*POPULARITY_COLUMNS, "feature_time_ms")),
        ):
            assert sorted(pq.read_schema(built.folder / file).names) == sorted(map(str, columns)), file

    def test_snapshot_says_what_was_read(self, built: Built) -> None:
        facts = self.facts(built)
        newest = built.spark.sql(f"SELECT snapshot_id FROM {CLEAN_EVENTS.full_name}.refs").first()
        assert newest is not None
        assert facts["snapshots"][CLEAN_EVENTS.full_name] == str(newest[0])
        assert (facts["until_ms"], facts["contract_id"]) == (built.until_ms, contract_id())
        assert facts["counts"]["examples"] == len(built.read("examples"))

    def test_building_again_gives_the_same_bytes(self, built: Built, tmp_path: Path) -> None:
        build_training_set(built.spark, built.settings, until=from_ms(built.until_ms), out=tmp_path / "again")
        names = {path.name for path in built.folder.iterdir()}
        assert {path.name for path in (tmp_path / "again").iterdir()} == names
        for name in names:
            assert (tmp_path / "again" / name).read_bytes() == (built.folder / name).read_bytes(), name

    def facts(self, built: Built) -> dict[str, dict[str, int]]:
        return json.loads((built.folder / "snapshot.json").read_text())  # type: ignore[no-any-return]
