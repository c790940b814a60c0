"""Hold the gate: move the alias `champion` to a version that is good enough, or refuse with the numbers.

In: a registered version, the champion, and the training set the version was made from: both are judged on its
holdout, on the same requests and rows. Out: the alias moved; the last line printed is a JSON object.
Run: python -m training.promote --version 7 [--accept-regression "why"]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recloop import cli
from recloop.bundles import Alias
from recloop.errors import PromotionRefused
from recloop.metrics import Interval, bootstrap_interval
from recloop.settings import Settings, load_settings
from training.costs import peak_memory_mb
from training.judging.slates import MODEL, POPULARITY
from training.judging.worst_slice import MIN_USERS, worst_slice
from training.registry import (
    ACCEPTED_TAG,
    PREVIOUS_CHAMPION_TAG,
    TRAINING_SET_TAG,
    champion,
    download_bundle,
    find_version,
    open_registry,
)

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from training.evaluate import Evaluation


@dataclass(frozen=True)
class Verdict:
    """What the gate found: differences in ndcg@10 on the same requests, with intervals over users."""

    ndcg: float | None
    n_requests: int
    over_popularity: Interval | None
    over_champion: Interval | None
    champion_ndcg: float | None
    reason: str | None

    @property
    def passed(self) -> bool:
        """Tell whether nothing speaks against the promotion."""
        return self.reason is None


def main(argv: Sequence[str] | None = None) -> int:
    """Hold the gate for one version."""
    parser = argparse.ArgumentParser(prog="python -m training.promote", description=__doc__)
    parser.add_argument("--version", required=True, help="version of the registered model")
    parser.add_argument(
        "--accept-regression", default="", metavar="REASON", help="move the alias whatever the gate says"
    )
    args = parser.parse_args(argv)

    def command() -> int:
        # Before OpenMP is loaded: on a busy machine its threads would spin instead of working.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        print(json.dumps(promote(args.version, settings=load_settings(), accept_regression=args.accept_regression)))
        return 0

    return cli.run(command)


def promote(version: str, *, settings: Settings, accept_regression: str = "") -> dict[str, Any]:
    """Judge a version and move the alias; return what the last line of the command says.

    Promoting the champion again changes nothing.

    Raises:
        PromotionRefused: the gate does not hold and no reason to accept that was given.
        ConfigurationError: there is no such version.
    """
    started = time.monotonic()
    client = open_registry(settings)
    challenger = find_version(client, settings.model_name, version)
    current = champion(client, settings.model_name)
    facts: dict[str, Any] = {"promoted": True, "version": version, "previous": current and str(current.version)}
    if current is not None and str(current.version) == version:
        seconds = round(time.monotonic() - started, 1)
        return facts | {"rows_in": 0, "rows_out": 0, "seconds": seconds, "peak_memory_mb": peak_memory_mb()}
    verdict = judge(challenger, current, settings=settings)
    if not verdict.passed and not accept_regression:
        raise PromotionRefused(
            f"{verdict.reason}\nLook at run {challenger.run_id}, or pass --accept-regression with a reason."
        )
    if not verdict.passed:
        client.set_model_version_tag(settings.model_name, version, ACCEPTED_TAG, accept_regression)
    if current is not None:
        client.set_model_version_tag(settings.model_name, version, PREVIOUS_CHAMPION_TAG, str(current.version))
    client.set_registered_model_alias(settings.model_name, Alias.CHAMPION, version)
    difference = verdict.over_champion or verdict.over_popularity
    return facts | {
        "ndcg_at_10": verdict.ndcg,
        "ndcg_difference": difference and difference.mean,
        "ndcg_difference_interval": difference and [difference.low, difference.high],
        "compared_with": f"version {current.version}" if current else POPULARITY,
        "rows_in": verdict.n_requests,
        "rows_out": 1,
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": peak_memory_mb(),
    }


def judge(challenger: ModelVersion, current: ModelVersion | None, *, settings: Settings) -> Verdict:
    """Evaluate both bundles on the challenger's holdout and hold the gate.

    Raises:
        PromotionRefused: the training set is gone, so nothing can be judged.
    """
    from training.evaluate import evaluate_bundle

    training_set = Path(challenger.tags.get(TRAINING_SET_TAG, ""))
    if not challenger.tags.get(TRAINING_SET_TAG) or not training_set.is_dir():
        raise PromotionRefused(
            f"version {challenger.version} names the training set {str(training_set)!r}, which is no folder here; "
            "the gate needs its holdout. Register the bundle again where the set lies."
        )
    with tempfile.TemporaryDirectory(dir=settings.var_dir) as folder:
        bundles = [download_bundle(each, Path(folder)) for each in (challenger, current) if each]
        evaluations = [evaluate_bundle(bundle, training_set, settings=settings) for bundle in bundles]
    return gate(
        evaluations[0],
        evaluations[1] if current else None,
        names=(f"version {challenger.version}", f"champion version {current.version}" if current else ""),
        settings=settings,
    )


def gate(new: Evaluation, old: Evaluation | None, *, names: tuple[str, str], settings: Settings) -> Verdict:
    """Compare a challenger with popularity and with the champion, all on the same requests.

    A retrain moves ndcg by noise alone, so a small loss passes; one that is beyond the allowed, or sure, or sure on one
    slice of the requests or of the rows, does not. Nor may small losses add up to a champion that is surely worse than
    popularity. Too few users to tell refuse a version too.
    """
    if (n_users := len(set(new.user_ids))) < MIN_USERS:
        few = f"{names[0]} could be judged by slates of {n_users} users only, the gate needs {MIN_USERS}"
        advice = new.offline.get("note", "Train until a later time, or on a longer span.")
        return Verdict(None, len(new.user_ids), None, None, None, f"{few}. {advice}")
    ndcg = float(new.ndcg[MODEL].mean())

    def difference(other: Any) -> Interval:
        return bootstrap_interval(new.ndcg[MODEL] - other, groups=new.user_ids, seed=settings.seed)

    over_popularity = difference(new.ndcg[POPULARITY])
    over_champion = difference(old.ndcg[MODEL]) if old else None
    old_ndcg = float(old.ndcg[MODEL].mean()) if old else None
    reason = None
    if over_popularity.high < 0 or (over_champion is None and not over_popularity.low > 0):
        reason = (
            f"{names[0]} has ndcg@10 {ndcg:.4f}, popularity has {new.ndcg[POPULARITY].mean():.4f}: the difference "
            f"{over_popularity.mean:+.4f} has the interval [{over_popularity.low:+.4f}, {over_popularity.high:+.4f}]; "
            "a first champion must lie above zero with all of it, a later one not below with all of it."
        )
    elif over_champion is not None and (
        over_champion.mean < settings.gate_min_ndcg_difference or over_champion.high < 0
    ):
        reason = (
            f"{names[0]} has ndcg@10 {ndcg:.4f}, {names[1]} has {old_ndcg:.4f}: the difference "
            f"{over_champion.mean:+.4f} has the interval [{over_champion.low:+.4f}, {over_champion.high:+.4f}]; "
            f"the gate allows {settings.gate_min_ndcg_difference:+.4f}, and no loss that is sure."
        )
    elif old is not None and (worst := worst_slice(new, old, seed=settings.seed)) is not None:
        lost = worst.difference
        reason = (
            f"{names[0]} is good enough on the whole, but on {worst.name} it has {worst.metric} {worst.ours:.4f} where "
            f"{names[1]} has {worst.theirs:.4f}: the interval [{lost.low:+.4f}, {lost.high:+.4f}], widened for the "
            "number of slices, lies below zero."
        )
    return Verdict(ndcg, len(new.user_ids), over_popularity, over_champion, old_ndcg, reason)


if __name__ == "__main__":
    sys.exit(main())
