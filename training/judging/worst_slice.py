"""The slice on which one bundle is surely worse than another: what the mean over everyone hides.

In: the evaluations of both, on the same requests and rows. Out: the slice with the largest loss that is sure, or None.
Slates are compared by who asks, when and where; the chances of a click by item and surface, as no request has an item
and the slates of rare surfaces are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recloop.head_metrics import auc, auc_difference_interval
from recloop.labels import Head
from recloop.metrics import MANY_RESAMPLES, Interval, bootstrap_interval
from recloop.tables import Column
from training.judging.slates import MODEL

if TYPE_CHECKING:
    from training.evaluate import Evaluation
    from training.judging.slices import Masks

MIN_USERS = 30
"""A bootstrap over fewer users says little."""

ROW_DIMENSIONS = ("item", Column.SURFACE)


@dataclass(frozen=True)
class OnSlice:
    """A metric of two bundles on one slice, and the interval of ours less theirs."""

    name: str
    metric: str
    ours: float
    theirs: float
    difference: Interval


def worst_slice(new: Evaluation, old: Evaluation, *, seed: int) -> OnSlice | None:
    """Return the slice on which `new` is surely worse than `old`, of several the one with the largest loss.

    Of n slices each is judged at a level of 1 - 0.05 / n (Bonferroni), so that slices that differ by noise refuse one
    challenger in twenty at most. Slices of fewer than MIN_USERS users are left out, and those of rows on which fewer
    clicked something or fewer left something alone.
    """
    requests, rows = _request_slices(new), _row_slices(new, old)
    level = 1 - 0.05 / max(1, len(requests) + len(rows))
    found = [_slates(name, mask, new, old, seed=seed, level=level) for name, mask in requests.items()]
    found += [_clicks(name, mask, new, old, seed=seed, level=level) for name, mask in rows.items()]
    return min((own for own in found if own.difference.high < 0), key=lambda own: own.difference.mean, default=None)


def _request_slices(new: Evaluation) -> Masks:
    users = np.array(new.user_ids, dtype=object)
    return {name: mask for name, mask in new.slices.items() if len(set(users[mask])) >= MIN_USERS}


def _row_slices(new: Evaluation, old: Evaluation) -> Masks:
    """Return none if a bundle lacks the head."""
    if not all(Head.CLICK in own.rows.chances for own in (new, old)):
        return {}
    users, clicked = new.rows.moments.user_ids, new.rows.labels[Head.CLICK] == 1
    return {
        name: mask
        for name, mask in new.row_slices.items()
        if name.split("=")[0] in ROW_DIMENSIONS
        and all(len(set(users[mask & own])) >= MIN_USERS for own in (clicked, ~clicked))
    }


def _slates(
    name: str, mask: NDArray[np.bool_], new: Evaluation, old: Evaluation, *, seed: int, level: float
) -> OnSlice:
    ours, theirs = (own.ndcg[MODEL][mask] for own in (new, old))
    users = np.array(new.user_ids, dtype=object)[mask].tolist()
    difference = bootstrap_interval(ours - theirs, groups=users, seed=seed, n_resamples=MANY_RESAMPLES, level=level)
    return OnSlice(name, "ndcg@10", float(ours.mean()), float(theirs.mean()), difference)


def _clicks(
    name: str, mask: NDArray[np.bool_], new: Evaluation, old: Evaluation, *, seed: int, level: float
) -> OnSlice:
    labels, users = new.rows.labels[Head.CLICK][mask], new.rows.moments.user_ids[mask]
    ours, theirs = (own.rows.chances[Head.CLICK][mask] for own in (new, old))
    difference = auc_difference_interval(
        labels, ours, theirs, users, seed=seed, n_resamples=MANY_RESAMPLES, level=level
    )
    return OnSlice(name, "click AUC", auc(labels, ours), auc(labels, theirs), difference)
