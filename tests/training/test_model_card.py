"""The model card: complete tables, numbers a reader can compare, and a word on what is missing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from recloop.clock import format_time, from_ms
from recloop.labels import Head
from training.data.dataset import TrainingSet
from training.model_card import LIMITS, model_card
from training.stacking.stack import Stack

FACTS = {
    "bundle_id": "20240401-000000-seed-5", "code_commit": "0123456789abcdef" * 2,
    "data_snapshots": {"source.synthetic": "456f7fef"},
}  # fmt: skip
OFFLINE = {
    "model": {"ndcg_at_10": 0.25, "coverage": 0.5},
    "popularity": {"ndcg_at_10": 0.2, "coverage": 0.01},
    "ndcg_difference_interval": [-0.01, 0.06],
    "n_requests": 120,
    "n_users": 40,
}
CLICK = {
    "auc": 0.71234, "auc_interval": [0.7, 0.72], "gauc": 0.65, "gauc_interval": None, "log_loss": 0.5, "ece": 0.02,
    "rows": 12_345, "positives": 678, "users": 90,
}  # fmt: skip


def on_slice(auc: float | None, *, rows: int = 500, ece: float | None = 0.01) -> dict[str, Any]:
    """Return a slice's numbers: a GAUC of a tenth more than the AUC."""
    gauc = None if auc is None else auc + 0.1
    return {"auc": auc, "gauc": gauc, "auc_interval": None, "ece": ece, "rows": rows, "positives": 5}


def card(training_set: TrainingSet, skipped: dict[Head, str] | None = None, **metrics: Any) -> str:
    return model_card(training_set, FACTS, metrics, Stack({}, {}, skipped or {}, {}))


def tables(text: str) -> list[list[str]]:
    """Return the lines of each table."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def test_every_row_has_the_columns_of_its_table(training_set: TrainingSet) -> None:
    found = tables(card(training_set, offline=OFFLINE, heads={Head.CLICK: CLICK, Head.HIDE: {"rows": 5}}))
    assert [len(table) for table in found] == [2 + 1, 2 + 3, 2 + 2, 2 + 2]  # snapshots, spans, slates, heads
    for table in found:
        assert len({line.count("|") for line in table}) == 1, table


def test_spans_follow_each_other_from_the_first_event_to_the_end(training_set: TrainingSet) -> None:
    spans = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables(card(training_set))[1][2:]]
    assert [name for name, _, _ in spans] == ["base models", "stack", "holdout"]
    assert all(end == start for (_, _, end), (_, start, _) in pairwise(spans))
    assert spans[0][1] == format_time(from_ms(training_set.split.start_ms))
    assert spans[-1][2] == format_time(from_ms(training_set.split.end_ms))


def test_slates_are_told_with_popularity_beside_and_the_sign_of_the_difference(training_set: TrainingSet) -> None:
    text = card(training_set, offline=OFFLINE)
    assert "|  | ndcg_at_10 | coverage |" in text
    assert "| model | 0.2500 | 0.5000 |" in text
    assert "| popularity | 0.2000 | 0.0100 |" in text
    assert "on 120 requests of 40 users: 95 % interval [-0.0100, +0.0600]" in text


def test_number_that_a_head_lacks_is_a_dash(training_set: TrainingSet) -> None:
    text = card(training_set, heads={Head.CLICK: CLICK, Head.HIDE: {"rows": 5, "positives": 0}})
    assert "| head | auc | gauc | log_loss | ece | rows | positives | users |" in text
    assert "| click | 0.7123 [0.7000, 0.7200] | 0.6500 | 0.5000 | 0.0200 | 12345 | 678 | 90 |" in text
    assert "| hide | – | – | – | – | 5 | 0 | – |" in text


def test_note_of_a_head_is_told_once(training_set: TrainingSet) -> None:
    heads = {Head.CLICK: CLICK | {"note": "gauc: not defined."}, Head.LIKE: {"note": "the bundle has no head like."}}
    text = card(training_set, {Head.LIKE: "has positives only"}, heads=heads)
    assert "\nclick: gauc: not defined.\n" in text
    assert "No head like: has positives only." in text
    assert "the bundle has no head like" not in text


def test_data_are_named_with_their_snapshots(training_set: TrainingSet) -> None:
    assert tables(card(training_set))[0] == ["| data | snapshot |", "| --- | --- |", "| source.synthetic | 456f7fef |"]


def test_baselines_stand_below_the_bundle_and_those_it_does_not_surely_beat_in_bold(
    training_set: TrainingSet,
) -> None:
    beaten = {"auc": 0.6, "auc_lead_interval": [0.1, 0.2], "gauc": 0.64, "gauc_lead_interval": [-0.01, 0.03]}
    unknown = {"auc": 0.5, "auc_lead_interval": None, "gauc": None, "gauc_lead_interval": None}
    heads = {
        "click": CLICK | {"baselines": {"log_odds": beaten, "als": unknown}},
        "long_view": {"auc": None, "baselines": {"log_odds": unknown, "als": unknown}},
    }
    found = tables(card(training_set, heads=heads))
    assert found[-1] == [
        "|  | click auc | click gauc |",
        "| --- | --- | --- |",
        "| all together | 0.712 | 0.650 |",
        "| log_odds | 0.600 | **0.640** |",
        "| als | **0.500** | – |",
    ]


def test_worst_slice_of_each_head_stands_beside_the_whole(training_set: TrainingSet) -> None:
    slices = {
        "click": {
            "user=new": on_slice(0.5), "user=heavy": on_slice(0.7, ece=0.09),
            "item=cold": on_slice(None, rows=9, ece=None),
        },
        "like": {},
    }  # fmt: skip
    found = tables(card(training_set, heads={"click": CLICK, "like": {}}, slices=slices))
    worst = next(table for table in found if table[0] == "| head | metric | slice | rows | there | on the whole |")
    assert worst[2:] == [
        "| click | auc | user=new | 500 | 0.5000 | 0.7123 [0.7000, 0.7200] |",
        "| click | gauc | user=new | 500 | 0.6000 | 0.6500 |",
        "| click | ece | user=heavy | 500 | 0.0900 | 0.0200 |",
    ]


def test_all_slices_that_were_measured_stand_in_one_table(training_set: TrainingSet) -> None:
    slices = {
        "click": {
            "user=new": on_slice(0.5),
            "user=heavy": on_slice(0.7, rows=900),
            "item=cold": on_slice(None, rows=9),
        },
        "long_view": {},
        "like": {
            "user=new": on_slice(None),
            "user=heavy": on_slice(0.6, rows=900),
            "item=cold": on_slice(None, rows=9),
        },
    }
    text = card(training_set, heads=dict.fromkeys(slices, CLICK), slices=slices)
    assert tables(text)[-1] == [
        "| slice | rows | click auc | click gauc | like auc | like gauc |",
        "| --- | --- | --- | --- | --- | --- |",
        "| user=new | 500 | 0.500 | 0.600 | – | – |",
        "| user=heavy | 900 | 0.700 | 0.800 | 0.600 | 0.700 |",
    ]
    assert "Of 3 slices 1 have fewer than 200 rows and are not measured." in text
    assert text.index(LIMITS) < text.index("## All slices"), "where the registry cuts the card, the limits are kept"


@pytest.mark.parametrize(
    ("served", "helps", "says"),
    [
        ("mean", True, "Its form `mean` is part of this bundle: the heads are better"),
        ("mean", False, "because the settings say so"),
        (None, False, "is left out"),
    ],
)
def test_ranker_is_told_with_what_each_form_gains(
    training_set: TrainingSet, served: str | None, helps: bool, says: str
) -> None:
    gains = {"like": {"gauc": {"value": 0.0101, "interval": [0.001, 0.02]}}}
    mean = {"form": "mean", "against": "trees", "helps": helps, "gains": gains}
    transformer = {"form": "transformer", "against": "mean", "helps": False, "gains": gains}
    found = {"served": served, "checks": [mean, transformer], "unchecked": []}
    text = card(training_set, ranker=found)
    assert says in text
    assert "was not checked" not in text
    assert "| mean | trees | like | gauc | +0.0101 | [+0.0010, +0.0200] |" in text
    assert "| transformer | mean | like | gauc |" in text


def test_form_that_was_not_checked_is_named(training_set: TrainingSet) -> None:
    mean = {"form": "mean", "against": "trees", "helps": True, "gains": {}}
    text = card(training_set, ranker={"served": "mean", "checks": [mean], "unchecked": ["transformer"]})
    assert "Its form `transformer` was not checked: on a CPU that takes too long" in text


def test_parts_are_told_with_what_is_lost_without_them(training_set: TrainingSet) -> None:
    parts = {"statistics": {"click": {"auc": 0.05, "gauc": -0.001}, "hide": {"auc": 0.1}}}
    found = tables(card(training_set, parts=parts))[-1]
    assert found[0] == "| part | click auc | click gauc | hide auc | hide gauc |"
    assert found[2] == "| statistics | +0.0500 | -0.0010 | +0.1000 | – |"


def test_head_that_was_not_learned_is_named_with_the_reason(training_set: TrainingSet) -> None:
    assert "No head like: has positives only." in card(training_set, {Head.LIKE: "has positives only"})


def test_name_with_a_bar_stays_in_its_cell(training_set: TrainingSet) -> None:
    text = card(training_set, heads={"click": CLICK}, slices={"click": {"segment=a|b": on_slice(0.5)}})
    assert r"| segment=a\|b | 500 | 0.500 | 0.600 |" in text


def test_slices_of_few_rows_make_no_table(training_set: TrainingSet) -> None:
    text = card(training_set, heads={"click": CLICK}, slices={"click": {"user=new": on_slice(None, rows=9, ece=None)}})
    assert "Of 1 slices 1 have fewer than 200 rows" in text
    assert "| slice |" not in text
    assert "## Worst slices" not in text


def test_metrics_without_slices_as_of_older_bundles_have_no_table_of_them(training_set: TrainingSet) -> None:
    assert "lices" not in card(training_set, heads={Head.CLICK: CLICK}).replace(LIMITS, "")


def test_card_without_any_judgement_still_says_what_the_bundle_is(training_set: TrainingSet) -> None:
    text = card(training_set)
    assert text.startswith("# Bundle 20240401-000000-seed-5\nCode 0123456789ab, 60 items, ")
    assert "Slates" not in text
    assert LIMITS in text


@pytest.mark.parametrize("count", ["items", "interactions", "users"])
def test_counts_are_those_of_the_training_set(training_set: TrainingSet, count: str) -> None:
    log = training_set.interactions
    expected = {"items": len(training_set.items), "interactions": len(log.items), "users": len(log.user_ids)}
    assert f" {expected[count]} {count}" in card(training_set)


def test_models_that_know_the_holdout_say_so(training_set: TrainingSet) -> None:
    split = training_set.split
    assert "made anew" not in card(training_set, offline=OFFLINE, learned_until_ms=split.holdout_ms)
    told = card(training_set, offline=OFFLINE, learned_until_ms=split.end_ms)
    assert f"made anew on everything before {format_time(from_ms(split.end_ms))}" in told


def test_slates_that_nothing_could_judge_say_why(training_set: TrainingSet) -> None:
    told = card(training_set, offline={"note": "the holdout has no moment after which a user liked something new."})
    assert "## Slates on the holdout\n\nthe holdout has no moment" in told
