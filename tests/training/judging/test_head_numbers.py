"""What rows say of a head: the metrics, numbers that are not defined, and keys that are there whatever the rows are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from recloop.head_metrics import (
    auc,
    auc_difference_interval,
    auc_interval,
    ece_interval,
    expected_calibration_error,
    gauc_difference_interval,
    gauc_interval,
    grouped_auc,
    log_loss,
    log_loss_interval,
)
from recloop.metrics import FEW_RESAMPLES
from training.judging.head_numbers import baseline_numbers, head_numbers, unmeasured


def numbers(labels: Sequence[int], chances: Sequence[float], users: Sequence[str]) -> dict[str, Any]:
    given = np.array(labels, dtype=np.int8), np.array(chances, dtype=float), np.array(users, dtype=object)
    return head_numbers(*given, seed=3, n_resamples=50)


def test_rows_have_their_metrics_with_intervals() -> None:
    generator = np.random.default_rng(1)
    chances = generator.random(400)
    labels = (generator.random(400) < chances).astype(int)
    users = [f"u{row % 40}" for row in range(400)]
    found = numbers(labels.tolist(), chances.tolist(), users)
    assert found["auc"] == pytest.approx(auc(labels, chances))
    assert found["gauc"] == pytest.approx(grouped_auc(labels, chances, users))
    assert found["log_loss"] == pytest.approx(log_loss(labels, chances))
    assert found["ece"] == expected_calibration_error(labels, chances)
    intervals = {"auc": auc_interval, "gauc": gauc_interval, "log_loss": log_loss_interval, "ece": ece_interval}
    for name, interval in intervals.items():
        expected = interval(labels, chances, users, seed=3, n_resamples=50)
        assert found[f"{name}_interval"] == [expected.low, expected.high]
        assert expected.low < found[name] < expected.high
    assert (found["rows"], found["positives"], found["users"]) == (400, labels.sum(), 40)
    assert "note" not in found


def test_one_class_has_no_auc_and_a_note_says_so() -> None:
    found = numbers([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], ["a", "a", "b", "b"])
    assert [found[name] for name in ("auc", "gauc", "auc_interval", "gauc_interval")] == [None] * 4
    # -(ln .9 + ln .8 + ln .7 + ln .6) / 4
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.7, 0.6]).mean())
    assert found["note"] == "auc, gauc: not defined, 0 of 4 rows are positive."
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_users_of_one_class_each_have_an_auc_and_no_gauc() -> None:
    found = numbers([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.1], ["a", "a", "b", "b"])
    # pairs (.3, .1), (.3, .2), (.1, .2) and a tie (.1, .1): 1 + 1 + 0 + 1/2
    assert found["auc"] == 2.5 / 4
    assert found["gauc"] is None
    assert found["note"] == (
        "gauc: not defined, 2 of 4 rows are positive, and no user has both a positive and a negative one."
    )


def test_no_rows_have_no_numbers() -> None:
    found = numbers([], [], [])
    assert found["note"] == "auc, gauc, log_loss, ece: not defined, 0 of 0 rows are positive."
    assert {value for name, value in found.items() if name not in {"rows", "positives", "users", "note"}} == {None}


def test_what_was_not_measured_has_the_same_keys() -> None:
    found = unmeasured(np.array([1, 0, 1], dtype=np.int8), np.array(["a", "a", "b"], dtype=object), note="too few.")
    assert found.keys() == numbers([0], [0.5], ["a"]).keys()
    assert (found["rows"], found["positives"], found["users"], found["note"]) == (3, 2, 2, "too few.")
    assert found["auc"] is None
    assert found["log_loss"] is None


def test_baseline_stands_with_the_interval_of_the_lead_over_it() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 300).astype(np.int8)
    users = np.array([f"u{row % 30}" for row in range(300)], dtype=object)
    baseline, chances = labels + generator.normal(0, 2, 300), labels + generator.normal(0, 0.5, 300)
    found = baseline_numbers(labels, chances, baseline, users, seed=3)
    assert (found["auc"], found["gauc"]) == (auc(labels, baseline), grouped_auc(labels, baseline, users))
    for name, interval in (("auc", auc_difference_interval), ("gauc", gauc_difference_interval)):
        expected = interval(labels, chances, baseline, users, seed=3, n_resamples=FEW_RESAMPLES)
        assert found[f"{name}_lead_interval"] == [expected.low, expected.high]
        assert expected.low > 0


def test_baseline_alone_and_one_class_have_no_lead() -> None:
    labels, users = np.array([0, 1, 1, 0], dtype=np.int8), np.array(["a", "a", "b", "b"], dtype=object)
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    alone = baseline_numbers(labels, None, scores, users, seed=3)
    # pairs (.2, .1), (.2, .4), (.3, .1) and (.3, .4)
    assert alone == {"auc": 2 / 4, "auc_lead_interval": None, "gauc": 1 / 2, "gauc_lead_interval": None}
    one_class = baseline_numbers(0 * labels, scores, scores, users, seed=3)
    assert {*one_class.values()} == {None}
    assert one_class.keys() == alone.keys()
