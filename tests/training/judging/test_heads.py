"""Heads judged on examples: which rows count, what each is scored with, and heads that a bundle lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from recloop.bundles import Manifest
from recloop.catalog import CatalogItem
from recloop.collaborative import FoldIn
from recloop.features import EVERYONE
from recloop.head_metrics import auc
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES, Matrix
from recloop.recommender import Recommender
from recloop.tables import Origin
from tests.training.stacking.test_rows import N_DIMENSIONS, count_encoder
from tests.training.synthetic import N_DAYS, START, SyntheticSource
from training.data.dataset import TrainingSet
from training.data.reader import read_training_set
from training.judging.heads import (
    ScoredRows,
    head_report,
    in_sample_note,
    judged_rows,
    score_rows,
    slice_report,
)
from training.judging.slices import slice_masks
from training.model_card import model_card
from training.source.build import build_source_set
from training.stacking.row_statistics import Moments
from training.stacking.rows import learn_vocabularies
from training.stacking.stack import Stack

CF, LENGTH = RANKING_FEATURES.index("cf_score"), RANKING_FEATURES.index("sequence_score")


def cf_chance(matrix: Matrix) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a chance that tells the CF score, and 0.5 for an item that the bundle lacks."""
    return np.asarray(1 / (1 + np.exp(-np.nan_to_num(matrix[:, CF].astype(np.float64)))))


@pytest.fixture(scope="module")
def recommender(training_set: TrainingSet) -> Recommender:
    """A recommender with the catalogue of the training set, whose one head tells the CF score."""
    factors = np.random.default_rng(0).normal(size=(len(training_set.items), N_DIMENSIONS)).astype(np.float32)
    return Recommender(
        manifest=cast(Manifest, None), items=training_set.items, popularity={EVERYONE: np.arange(20)},
        vocabularies=learn_vocabularies(training_set, np.arange(len(training_set.examples))),
        fold_in=FoldIn(factors, regularization=1.0, alpha=2.0), item_vectors=np.ones_like(factors),
        encode=count_encoder, heads={Head.CLICK: cf_chance},
    )  # fmt: skip


class WiderSource(SyntheticSource):
    """The same log beside a catalogue of which other items come first, and a user met on its last day alone."""

    def items(self) -> Iterator[CatalogItem]:
        yield from (CatalogItem(item_id=f"a{item:02}", categories=("red",)) for item in range(5))
        yield from super().items()


def span(source: SyntheticSource, out: Path) -> TrainingSet:
    last = START + timedelta(days=N_DAYS)
    build_source_set(
        source, out, until=last, examples_from=last - timedelta(days=2), with_negatives=False,
        window=timedelta(hours=24), seed=5,
    )  # fmt: skip
    return read_training_set(out)


def with_origins(training_set: TrainingSet, origins: Sequence[Origin]) -> TrainingSet:
    """Return the set with these origins for the first of its examples and Origin.ORGANIC for the others."""
    found = np.full(len(training_set.examples), Origin.ORGANIC, dtype=object)
    found[: len(origins)] = origins
    return replace(training_set, examples=replace(training_set.examples, origins=found))


def scored(labels: Sequence[int], chances: Sequence[float], users: Sequence[str]) -> ScoredRows:
    n = len(labels)
    moments = Moments(np.array(users, dtype=object), np.zeros(n, dtype=np.int64), np.full(n, None), np.arange(n))
    # each other head has one positive
    others = {str(head): (np.arange(n) == 0).astype(np.int8) for head in Head}
    return ScoredRows(
        np.arange(n), moments, others | {"click": np.array(labels, dtype=np.int8)}, {"click": np.array(chances)}
    )


def test_exposures_alone_judge_where_there_are_some(training_set: TrainingSet) -> None:
    met = np.flatnonzero(~training_set.examples.sampled)[:2]
    origins = [Origin.ORGANIC] * (int(met[1]) + 1)
    for row in met:
        origins[row] = Origin.IMPRESSION
    both = with_origins(training_set, origins)
    times = both.examples.times_ms
    rows, origin = judged_rows(both, int(times[0]), int(times[-1]) + 1)
    assert (rows.tolist(), origin) == (met.tolist(), Origin.IMPRESSION)
    # the end of a span is not of it
    rows, _ = judged_rows(both, int(times[0]), int(times[met[1]]))
    assert rows.tolist() == [row for row in met if times[row] < times[met[1]]]


def test_what_was_never_met_is_no_judge(training_set: TrainingSet) -> None:
    assert training_set.examples.sampled.any()
    assert set(training_set.examples.origins) == {Origin.ORGANIC}
    rows, origin = judged_rows(training_set, training_set.split.stack_ms, training_set.split.end_ms)
    assert origin == Origin.ORGANIC
    assert len(rows) == (~training_set.examples.sampled).sum()


def test_chunks_change_no_score(
    training_set: TrainingSet, recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(150)
    whole = score_rows(recommender, training_set, rows)
    # a request of several rows is cut somewhere
    assert max(map(len, training_set.requests(rows))) > 1
    monkeypatch.setattr("training.judging.heads.CHUNK", 7)
    parts = score_rows(recommender, training_set, rows)
    np.testing.assert_allclose(parts.chances["click"], whole.chances["click"], rtol=1e-6)
    np.testing.assert_array_equal(parts.labels["click"], training_set.examples.labels[Head.CLICK][:150])
    assert len(parts) == 150


def test_catalogue_of_the_data_may_differ_from_the_bundles(recommender: Recommender, tmp_path: Path) -> None:
    same, wider = span(SyntheticSource(), tmp_path / "same"), span(WiderSource(), tmp_path / "wider")
    assert len(wider.items) == len(same.items) + 5
    assert same.items.ids != wider.items.ids[: len(same.items)]
    rows, _ = judged_rows(same, same.split.holdout_ms, same.split.end_ms)
    expected = score_rows(recommender, same, rows).chances["click"]
    assert len(set(expected)) > 20
    np.testing.assert_allclose(score_rows(recommender, wider, rows).chances["click"], expected, rtol=1e-6)


def test_item_that_the_bundle_lacks_is_scored_by_what_else_is_known(
    training_set: TrainingSet, recommender: Recommender
) -> None:
    rows = np.arange(100)
    lost = training_set.examples.items[0]
    names = tuple("unheard" if row == lost else name for row, name in enumerate(training_set.items.ids))
    found = score_rows(recommender, replace(training_set, items=replace(training_set.items, ids=names)), rows)
    unknown = training_set.examples.items[rows] == lost
    assert 0 < unknown.sum() < 100
    assert (found.chances["click"][unknown] == 0.5).all()
    assert (found.chances["click"][~unknown] != 0.5).any()


def test_rows_that_the_bundle_learned_from_are_told(caplog: pytest.LogCaptureFixture) -> None:
    def manifest(**metrics: int) -> Manifest:
        return cast(Manifest, SimpleNamespace(bundle_id="b", metrics=metrics))

    times_ms = np.array([0, 999, 1_000, 2_000])
    note = in_sample_note(manifest(learned_until_ms=1_000), times_ms)
    assert note is not None
    assert "bundle b learned from what came before 1970-01-01T00:00:01.000Z: 2 of the 4 judged rows" in note
    assert note in caplog.text
    caplog.clear()
    assert in_sample_note(manifest(learned_until_ms=1_000), times_ms[2:]) is None
    assert in_sample_note(manifest(), times_ms) is None, "older bundles do not say until when they learned"
    assert not caplog.text


def test_every_head_is_reported_and_one_that_the_bundle_lacks_says_so() -> None:
    report = head_report(scored([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.3], ["a", "a", "b", "b"]), seed=3, n_resamples=20)
    assert [*report] == [*Head]
    # pairs (.9, .1), (.9, .3), (.2, .1) and (.2, .3), of which the last is wrong
    assert report["click"]["auc"] == 3 / 4
    assert report["click"]["baselines"] == {}
    like = report["like"]
    assert like.keys() == report["click"].keys() | {"note"}
    assert (like["auc"], like["ece"], like["rows"], like["positives"]) == (None, None, 4, 1)
    assert like["note"] == "the bundle has no head like; its model card says why."


def test_baselines_stand_beside_heads_that_the_bundle_has_and_lacks(
    training_set: TrainingSet, recommender: Recommender
) -> None:
    split = training_set.split
    rows, _ = judged_rows(training_set, split.holdout_ms, split.end_ms)
    found = score_rows(recommender, training_set, rows)
    # nothing was shown in this log
    assert found.baselines.keys() == {"als", "transformer"}
    report = head_report(found, seed=3, n_resamples=20)
    # the head says what the CF score does
    als = report["click"]["baselines"]["als"]
    assert als["auc"] == report["click"]["auc"]
    assert als["auc_lead_interval"] == [0, 0]
    like = report["like"]["baselines"]["als"]
    assert like["auc"] == auc(found.labels["like"], found.baselines["als"][Head.LIKE])
    assert like["auc_lead_interval"] is None


def test_slices_are_reported_per_head(training_set: TrainingSet, recommender: Recommender) -> None:
    rows = np.arange(len(training_set.examples))
    masks = slice_masks(training_set, rows, before_ms=training_set.split.holdout_ms)
    found = slice_report(score_rows(recommender, training_set, rows), masks, seed=1)
    assert [*found] == [*Head]
    assert found["like"] == {}
    assert {"surface=home", "surface=search"} <= found["click"].keys()
    home = np.asarray(training_set.examples.surfaces == "home")
    assert found["click"]["surface=home"]["rows"] == home.sum()


def test_head_without_an_auc_stands_in_the_model_card(training_set: TrainingSet) -> None:
    report = head_report(scored([0, 0], [0.1, 0.2], ["a", "a"]), seed=3)
    stack = Stack(texts={}, curves={}, skipped={}, plans={})
    facts = {"bundle_id": "b", "code_commit": "c", "data_snapshots": {}}
    card = model_card(training_set, facts, {"heads": report}, stack)
    assert "| click | – | – |" in card
