"""Items held out of training: which, what stays known of them, and the arithmetic of where they then stand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import cold_items
from benchmarks.cold_items import (
    CUTS,
    FEW,
    NATURAL,
    SHUFFLED,
    SPACES,
    UNTOUCHED,
    WARM,
    WITH,
    WITHOUT,
    Ranking,
    compare,
    draw_targets,
    hold_out,
    intervals,
    item_groups,
    norms,
    rank,
    sample,
    untouched_share,
    without,
)
from recloop.ranking import Context, UserState
from tests.training.shown_log import shown_log, write_log
from training.data.dataset import Interactions, TrainingSet
from training.retrieval.collaborative import CollaborativeModel
from training.retrieval.content import Content, Targets, first_likes, user_vectors
from training.retrieval.sequence import SequenceResult

NOTHING = np.empty(0, dtype=np.int64)
Masks = dict[str, np.ndarray]


def mask(n: int, *places: int) -> np.ndarray:
    return np.isin(np.arange(n), places)


def targets_of(training_set: TrainingSet, users: list[str], items: list[int]) -> Targets:
    requests = [(UserState(user), Context(0)) for user in users]
    return Targets(training_set.items, np.array(items), requests, [NOTHING] * len(items))


def test_two_kinds_of_items_are_drawn_by_chance_and_never_one_for_both() -> None:
    catalogue: Any = SimpleNamespace(items=range(10_000))
    held = hold_out(catalogue, share=0.1, seed=1)
    assert [held[kind].mean() for kind in (UNTOUCHED, FEW)] == pytest.approx([0.1, 0.1], abs=0.01)
    assert not (held[UNTOUCHED] & held[FEW]).any()
    again, other = (hold_out(catalogue, share=0.1, seed=seed) for seed in (1, 2))
    assert (again[FEW] == held[FEW]).all()
    assert (other[FEW] != held[FEW]).any()


def test_last_three_users_of_the_few_stay_known_and_nothing_of_the_untouched(training_set: TrainingSet) -> None:
    # (item, time): 0 is untouched, of 1 few are left, 2 is as it was; at 10 the base span ends
    log = {
        "a": [(1, 1), (0, 2), (1, 6), (1, 11)], "b": [(1, 3)], "c": [(1, 4), (2, 4)], "d": [(0, 5), (1, 5), (0, 10)],
        "e": [(2, 1)],
    }  # fmt: skip
    items, times = (np.array([row[part] for own in log.values() for row in own]) for part in (0, 1))
    given = Interactions(
        user_ids=tuple(log), starts=np.cumsum([0, *map(len, log.values())]), items=items, actions=items + 1,
        times_ms=times, dwell_ms=times * 2, index={user: place for place, user in enumerate(log)},
    )  # fmt: skip
    n = len(training_set.items)
    held = {UNTOUCHED: mask(n, 0), FEW: mask(n, 1)}
    left = without(dataclasses.replace(training_set, interactions=given), held, 10).interactions
    rows = list(zip(left.items.tolist(), left.times_ms.tolist(), strict=True))
    found = {user: rows[left.span(user)] for user in log}
    # The newest three users of item 1 before 10 are a, d and c: all that a did with it stays, b's is gone.
    assert found == {
        "a": [(1, 1), (1, 6), (1, 11)], "b": [], "c": [(1, 4), (2, 4)], "d": [(1, 5), (0, 10)], "e": [(2, 1)],
    }  # fmt: skip
    assert left.actions.tolist() == (left.items + 1).tolist()
    assert left.dwell_ms.tolist() == (left.times_ms * 2).tolist()


def test_each_item_is_of_one_group_by_what_is_left_of_it() -> None:
    held = {UNTOUCHED: mask(6, 0, 1), FEW: mask(6, 2, 3)}
    groups = item_groups(np.array([0, 0, 3, 0, 0, 7]), held)
    # 3 was to keep a few, but nobody had touched it; 4 nobody touched by itself
    assert {name: np.flatnonzero(items).tolist() for name, items in groups.items()} == {
        UNTOUCHED: [0, 1], FEW: [2], NATURAL: [3, 4], WARM: [5],
    }  # fmt: skip


def test_targets_are_first_likes_of_the_group_with_the_history_that_judges(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, log = training_set.split, training_set.interactions
    chosen = np.arange(len(training_set.items)) % 2 == 0
    liked = log.items[first_likes(training_set, start_ms=split.holdout_ms, end_ms=split.end_ms)]
    assert 10 < chosen[liked].sum() < len(liked)
    empty = dataclasses.replace(log, items=log.items[:0], starts=np.zeros_like(log.starts), times_ms=log.times_ms[:0])
    blank = dataclasses.replace(training_set, interactions=empty)
    found = draw_targets(training_set, blank, chosen, seed=1)
    assert sorted(found.items) == sorted(liked[chosen[liked]])
    assert all(not len(user.recent) for user, _ in found.requests)
    assert all(split.holdout_ms <= context.time_ms < split.end_ms for _, context in found.requests)
    monkeypatch.setattr(cold_items, "MOST_TARGETS", 5)
    few, other = (draw_targets(training_set, blank, chosen, seed=seed) for seed in (1, 2))
    assert len(few.items) == 5
    assert few.items.tolist() != other.items.tolist()


def test_recall_percentile_and_gain_are_those_of_the_places(training_set: TrainingSet) -> None:
    targets = targets_of(training_set, ["a", "a", "b"], [4, 5, 5])
    places = {WITHOUT: np.array([50.0, 150.0, 99.0]), WITH: np.array([10.0, 20.0, 199.5])}
    found = compare(targets, {"space": Ranking(np.array([200, 200, 200]), places)}, seed=1)
    assert (found["targets"], found["items"]) == (3, 2)
    own = found["space"]
    assert CUTS == (20, 100)
    assert {name: {side: own[name][side]["mean"] for side in places} for name in own} == {
        "recall_at_20": {WITHOUT: 0 / 3, WITH: round(1 / 3, 5)},
        "recall_at_100": {WITHOUT: round(2 / 3, 5), WITH: round(2 / 3, 5)},
        "percentile": {
            WITHOUT: round(1 - (50 + 150 + 99) / 3 / 200, 5), WITH: round(1 - (10 + 20 + 199.5) / 3 / 200, 5),
        },
    }  # fmt: skip
    gain = own["percentile"]["with less without"]
    assert gain.keys() == {"over_users", "over_items"}
    assert {each["mean"] for each in gain.values()} == {round((299 - 229.5) / 3 / 200, 5)}


def test_interval_of_a_gain_draws_users_or_items(training_set: TrainingSet) -> None:
    """User a gains with both items and b with none: over users the gain is unsure, over items it is one number."""
    targets = targets_of(training_set, ["a", "a", "b", "b"], [1, 2, 1, 2])
    values = {WITHOUT: np.zeros(4), WITH: np.array([1.0, 1.0, 0.0, 0.0])}
    gain = intervals(targets, values, seed=1)[f"{WITH} less {WITHOUT}"]
    assert (gain["over_users"]["low"], gain["over_users"]["high"]) == (0.0, 1.0)
    assert (gain["over_items"]["low"], gain["over_items"]["high"]) == (0.5, 0.5)


def test_a_target_without_rivals_has_a_percentile(training_set: TrainingSet) -> None:
    found = compare(targets_of(training_set, ["a"], [1]), {"s": Ranking(np.array([0]), {WITH: np.zeros(1)})}, seed=1)
    assert found["s"]["percentile"][WITH]["mean"] == 1.0


def test_sample_names_nobody(training_set: TrainingSet) -> None:
    targets = targets_of(training_set, ["u9", "u3", "u9"], [40, 7, 40])
    ranking = Ranking(np.array([5, 5, 5]), {WITH: np.array([2.5, 0.0, 4.0])})
    assert sample(targets, {"space": ranking}) == {
        "users": [1, 0, 1], "items": [1, 0, 1], "places": {"space": {WITH: [2, 0, 4]}},
    }  # fmt: skip


@pytest.fixture(scope="module")
def contents(training_set: TrainingSet) -> tuple[Content, Content]:
    """Untrained models without the tower and with it, which gives the first three, untouched items longer vectors."""
    import torch

    from training.retrieval.sequence_model import SequenceModel, Shape

    n = len(training_set.items)
    counts = np.full(n, 5)
    counts[:3] = 0
    found = []
    for seed in (1, 2):
        torch.manual_seed(1)
        model = SequenceModel(n, Shape(n_dimensions=8, n_layers=1)).eval()
        factors = np.random.default_rng(1).normal(size=(n, 4)).astype(np.float32)
        if seed == 2:
            factors[:3] *= 10
            with torch.no_grad():
                model.items.weight[1:4] *= 10
        found.append(
            Content(CollaborativeModel(factors, 1.0, 1.0), SequenceResult(model, [], 0, "cpu", 0), counts, None)
        )
    return found[0], found[1]


@pytest.fixture(scope="module")
def cold_targets(training_set: TrainingSet) -> Targets:
    split = training_set.split
    users = [training_set.interactions.user_ids[place] for place in (0, 0, 0, 1, 1, 1)]
    recent = [
        training_set.interactions.recent(user, before_ms=split.end_ms, items=training_set.items) for user in users
    ]
    requests = [(UserState(user, recent=own), Context(split.end_ms)) for user, own in zip(users, recent, strict=True)]
    return Targets(training_set.items, np.array([0, 1, 2, 0, 1, 2]), requests, [np.array([10, 11, 12])] * 6)


def test_a_target_is_ranked_among_what_its_user_had_not_met_and_among_its_own_kind(
    contents: tuple[Content, Content], cold_targets: Targets
) -> None:
    before, after = contents
    found = rank(before, after, cold_targets, before.counts == 0, seed=1)
    n = len(before.counts)
    assert set(found) == {f"{space}, among {pool}" for space in SPACES for pool in ("all", "own kind")}
    for name, ranking in found.items():
        assert set(ranking.places) == {WITHOUT, WITH, SHUFFLED}
        # all but the three met and the target; of the three cold ones two
        assert set(ranking.rivals.tolist()) == {2 if name.endswith("own kind") else n - 3 - 1}
        for places in ranking.places.values():
            assert (places >= 0).all()
            assert (places <= ranking.rivals).all()
    # Each of two users has all three cold items as targets: however they are dealt out, one is above, one below.
    for places in found["sequence, among own kind"].places.values():
        assert [sorted(places[:3]), sorted(places[3:])] == [[0, 1, 2], [0, 1, 2]]
    vectors = after.collaborative.factors
    scores = user_vectors(after.collaborative, after.sequence, cold_targets)[0] @ vectors.T
    unmet = ~np.isin(np.arange(n), cold_targets.seen[0])
    above = [(own[unmet] > own[item]).sum() for own, item in zip(scores, cold_targets.items, strict=True)]
    assert found["collaborative, among all"].places[WITH].tolist() == above


def test_warm_targets_are_not_shuffled(contents: tuple[Content, Content], cold_targets: Targets) -> None:
    before, after = contents
    warm = dataclasses.replace(cold_targets, items=np.array([5, 6, 7, 8, 9, 9]))
    found = rank(before, after, warm, before.counts > 0, seed=1)
    assert {side for ranking in found.values() for side in ranking.places} == {WITHOUT, WITH}


def test_norms_are_medians_of_each_group_without_and_with(contents: tuple[Content, Content]) -> None:
    n = len(contents[0].counts)
    found = norms(*contents, {UNTOUCHED: mask(n, 0, 1, 2), WARM: ~mask(n, 0, 1, 2), FEW: mask(n)})
    assert set(found) == {UNTOUCHED, WARM}
    length = np.median(np.linalg.norm(contents[0].collaborative.factors[:3], axis=1))
    assert found[UNTOUCHED]["collaborative"] == pytest.approx([length, 10 * length], abs=1e-3)
    assert found[WARM]["collaborative"][0] == found[WARM]["collaborative"][1]


def test_share_of_the_first_hundred_is_counted_in_small_catalogues_too(
    contents: tuple[Content, Content], cold_targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = len(contents[0].counts)
    groups = {UNTOUCHED: mask(n, 0, 1), NATURAL: mask(n, 2)}
    assert n < cold_items.K
    found = untouched_share(*contents, cold_targets, groups)
    # Fewer than a hundred: all are among the first.
    assert found == {"catalogue": 3 / n} | {f"{space}, {side}": 3 / n for space in SPACES for side in (WITHOUT, WITH)}
    monkeypatch.setattr(cold_items, "K", 3)
    shares = untouched_share(*contents, cold_targets, groups)
    assert shares["collaborative, with"] != shares["collaborative, without"]
    met = dataclasses.replace(cold_targets, seen=[np.array([0, 1, 2])] * 6)
    assert {*untouched_share(*contents, met, groups).values()} == {3 / n, 0.0}


@pytest.mark.slow
def test_report_has_every_group_that_has_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, report = write_log(tmp_path / "log", shown_log()), tmp_path / "report.json"
    days = ["--until", "2024-03-27", "--from", "2024-03-28", "--to", "2024-03-29"]
    options = ["--data", f"events:{source}", *days, "--out", str(report), "--share", "0.2", "--epochs", "1"]
    assert cold_items.main([*options, "--seed", "5"]) == 0
    found = json.loads(report.read_text())
    assert found["command"].startswith("python -m benchmarks.cold_items --data events:DIR --until 2024-03-27 ")
    assert sum(found["items"].values()) == 62
    assert {UNTOUCHED, WARM} <= set(found["figures"]) == set(found["samples"])
    for name, figures in found["figures"].items():
        assert figures["targets"] == len(found["samples"][name]["users"])
    said = json.loads(capsys.readouterr().out)
    assert said["figures"] == found["figures"]
    assert "samples" not in said
