"""The gate: what passes, what is refused with which numbers, and that the real registry's aliases move accordingly."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloop.bundles import Alias
from recloop.errors import BundleTampered, ConfigurationError, PromotionRefused
from recloop.settings import Settings
from training.evaluate import MODEL, POPULARITY, Evaluation
from training.judging.heads import ScoredRows
from training.judging.slates import Slates
from training.promote import gate, promote
from training.register import register
from training.registry import ACCEPTED_TAG, PREVIOUS_CHAMPION_TAG, TRAINING_SET_TAG, open_registry
from training.stacking.row_statistics import Moments

USERS = [f"u{row // 2}" for row in range(200)]
ROWS = np.arange(200)
SLICES = {"user=new": ROWS < 80, "user=light": (ROWS >= 80) & (ROWS < 190), "user=heavy": ROWS >= 190}


def noise(seed: int) -> Any:
    drawn = np.random.default_rng(seed).normal(0, 0.01, 200)
    return drawn - drawn.mean()


NO_ROWS = np.empty(0, dtype=np.int64)
NOTHING = ScoredRows(NO_ROWS, Moments(NO_ROWS.astype(object), NO_ROWS, NO_ROWS.astype(object), NO_ROWS), {}, {})


def evaluation(model: float, popularity: float = 0.2, *, seed: int = 0) -> Evaluation:
    ndcg = {MODEL: np.full(200, model) + noise(seed), POPULARITY: np.full(200, popularity)}
    return Evaluation(
        user_ids=USERS, ndcg=ndcg, offline={}, heads={}, slices=SLICES, head_slices={}, rows=NOTHING, row_slices={}
    )


def verdict(new: float, old: float | None, **settings: Any) -> Any:
    previous = None if old is None else evaluation(old, seed=1)
    names = ("version 2", "champion version 1")
    return gate(evaluation(new), previous, names=names, settings=Settings(**settings))


def test_first_model_must_beat_popularity_with_its_interval() -> None:
    assert verdict(0.25, None).passed
    refused = verdict(0.2, None)
    assert not refused.passed
    assert "popularity has 0.2000" in refused.reason


def test_small_losses_may_not_add_up_to_a_champion_that_popularity_beats() -> None:
    assert verdict(0.2095, 0.21).passed
    refused = verdict(0.1975, 0.198)
    assert not refused.passed
    assert "a later one not below with all of it" in refused.reason


def test_too_few_users_to_tell_refuse_a_version() -> None:
    few = dataclasses.replace(evaluation(0.9), user_ids=["u1"] * 200)
    refused = gate(few, None, names=("version 1", ""), settings=Settings())
    assert not refused.passed
    assert refused.reason == (
        "version 1 could be judged by slates of 1 users only, the gate needs 30. Train until a later time, or on a "
        "longer span."
    )
    nobody = dataclasses.replace(evaluation(0.9), **vars(Slates.nothing("nobody liked anything new.")))
    assert "slates of 0 users only, the gate needs 30. nobody liked" in str(
        gate(nobody, None, names=("version 1", ""), settings=Settings()).reason
    )


def test_worse_challenger_is_refused_with_both_numbers() -> None:
    refused = verdict(0.25, 0.26)
    assert not refused.passed
    assert "version 2 has ndcg@10 0.25" in refused.reason
    assert "champion version 1 has 0.26" in refused.reason
    assert "the difference -0.0100 has the interval [-0.01" in refused.reason


def test_challenger_that_is_worse_by_noise_passes_within_what_the_gate_allows() -> None:
    assert verdict(0.2590, 0.2600).passed
    assert not verdict(0.2590, 0.2600, gate_min_ndcg_difference=0.0).passed


def test_small_loss_that_is_sure_is_refused() -> None:
    refused = verdict(0.2550, 0.2600)
    assert not refused.passed
    assert refused.over_champion.mean > Settings().gate_min_ndcg_difference
    assert refused.over_champion.high < 0


def test_challenger_that_is_surely_worse_on_one_slice_is_refused_by_its_name() -> None:
    new, old = evaluation(0.26), evaluation(0.26, seed=1)
    new.ndcg[MODEL][:] += np.where(SLICES["user=new"], -0.03, 0.03)
    found = gate(new, old, names=("version 2", "champion version 1"), settings=Settings())
    assert not found.passed
    assert found.reason is not None
    assert "version 2 is good enough on the whole, but on user=new it has ndcg@10 0.2" in found.reason
    assert "lies below zero" in found.reason


@pytest.fixture(scope="module")
def registered(
    trained: tuple[Path, Any], folder: Path, mlflow_stack: Settings
) -> tuple[Settings, list[str], tuple[Path, Path]]:
    """Two versions of one bundle in the real registry."""
    settings = mlflow_stack.model_copy(update={"model_name": "gate-test"})
    bundle, _ = trained
    versions = [register(bundle, folder, settings=settings)["version"] for _ in range(2)]
    return settings, versions, (bundle, folder)


@pytest.mark.stack
@pytest.mark.slow
def test_registered_version_is_the_challenger_and_holds_the_bundle(registered: Any) -> None:
    settings, versions, (bundle, folder) = registered
    client = open_registry(settings)
    challenger = client.get_model_version_by_alias(settings.model_name, Alias.CHALLENGER)
    run = client.get_run(challenger.run_id)
    assert str(challenger.version) == versions[-1]
    assert challenger.tags[TRAINING_SET_TAG] == str(folder)
    assert {"bundle_id", "code_commit", "feature_contract"} <= set(run.data.params)
    assert "offline.model.ndcg_at_10" in run.data.metrics
    files = {artifact.path for artifact in client.list_artifacts(run.info.run_id, "bundle")}
    assert files == {f"bundle/{path.name}" for path in bundle.iterdir()}


@pytest.mark.stack
@pytest.mark.slow
def test_promotions_move_the_alias_and_name_the_version_before(registered: Any) -> None:
    settings, (first, second), _ = registered
    client = open_registry(settings)
    outcome = promote(first, settings=settings, accept_regression="a test does not judge")
    assert outcome["promoted"]
    # The second version is the same bundle: the difference is zero, which the gate allows.
    assert promote(second, settings=settings)["ndcg_difference"] == 0.0
    assert str(client.get_model_version_by_alias(settings.model_name, Alias.CHAMPION).version) == second
    assert client.get_model_version(settings.model_name, second).tags[PREVIOUS_CHAMPION_TAG] == first
    assert promote(second, settings=settings)["rows_in"] == 0  # again: nothing to do


@pytest.mark.stack
@pytest.mark.slow
def test_refused_version_leaves_the_alias_and_an_accepted_one_keeps_the_reason(registered: Any) -> None:
    settings, (first, second), _ = registered
    client = open_registry(settings)
    client.set_registered_model_alias(settings.model_name, Alias.CHAMPION, second)
    strict = settings.model_copy(update={"gate_min_ndcg_difference": 0.5})
    with pytest.raises(PromotionRefused, match="pass --accept-regression"):
        promote(first, settings=strict)
    assert str(client.get_model_version_by_alias(settings.model_name, Alias.CHAMPION).version) == second
    promote(first, settings=strict, accept_regression="the old one is broken")
    assert client.get_model_version(settings.model_name, first).tags[ACCEPTED_TAG] == "the old one is broken"


@pytest.mark.stack
@pytest.mark.slow
def test_unknown_version_is_named(registered: Any) -> None:
    settings, _, _ = registered
    with pytest.raises(ConfigurationError, match="no version '99'"):
        promote("99", settings=settings)


@pytest.mark.stack
@pytest.mark.slow
def test_tampered_bundle_is_not_registered(registered: Any, tmp_path: Path) -> None:
    settings, versions, (bundle, folder) = registered
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    victim = copy / "popularity.json"
    victim.write_bytes(victim.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(BundleTampered, match=r"popularity\.json"):
        register(copy, folder, settings=settings)
    assert len(open_registry(settings).search_model_versions(f"name='{settings.model_name}'")) == len(versions)
