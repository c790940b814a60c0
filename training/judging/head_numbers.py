"""The numbers of one head on some rows, as reports hold them: metrics, their intervals by user, and counts.

In: labels, chances and users, one per row. Out: the same keys whatever the rows are; a number that is not defined (one
class only) or was not measured is None, and a note says which and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.head_metrics import (
    auc,
    auc_difference_interval,
    auc_interval,
    ece_interval,
    gauc_difference_interval,
    gauc_interval,
    grouped_auc,
    log_loss_interval,
)
from recloop.metrics import FEW_RESAMPLES, Interval

METRICS: Mapping[str, Callable[..., Interval]] = {
    "auc": auc_interval,
    "gauc": gauc_interval,
    "log_loss": log_loss_interval,
    "ece": ece_interval,
}

ORDER_METRICS: Mapping[str, tuple[Callable[..., float], Callable[..., Interval]]] = {
    "auc": (lambda labels, scores, users: auc(labels, scores), auc_difference_interval),
    "gauc": (grouped_auc, gauc_difference_interval),
}

Labels = NDArray[np.int8]
Chances = NDArray[np.float64]
Users = NDArray[Any]


def head_numbers(labels: Labels, chances: Chances, users: Users, *, seed: int, n_resamples: int) -> dict[str, Any]:
    """Return what the rows say of a head."""
    found = unmeasured(labels, users)
    undefined = []
    for name, interval in METRICS.items():
        own = interval(labels, chances, users, seed=seed, n_resamples=n_resamples)
        if np.isnan(own.mean):
            undefined.append(name)
        else:
            found[name] = own.mean
            # None where each resample happened to hold one class only.
            found[f"{name}_interval"] = None if np.isnan(own.low) else [own.low, own.high]
    if undefined:
        found["note"] = (
            f"{', '.join(undefined)}: not defined, {found['positives']} of {len(labels)} rows are positive"
            + ("." if "auc" in undefined else ", and no user has both a positive and a negative one.")
        )
    return found


def baseline_numbers(
    labels: Labels, chances: Chances | None, baseline: Chances, users: Users, *, seed: int
) -> dict[str, Any]:
    """Return what the order of a baseline is worth, and the intervals of by how much that of `chances` leads."""
    found: dict[str, Any] = {}
    for name, (metric, lead_interval) in ORDER_METRICS.items():
        value = metric(labels, baseline, users)
        found |= {name: None if np.isnan(value) else value, f"{name}_lead_interval": None}
        if chances is not None:
            lead = lead_interval(labels, chances, baseline, users, seed=seed, n_resamples=FEW_RESAMPLES)
            found[f"{name}_lead_interval"] = None if np.isnan(lead.low) else [lead.low, lead.high]
    return found


def unmeasured(labels: Labels, users: Users, *, note: str | None = None) -> dict[str, Any]:
    """Return the counts, and None for each number."""
    found: dict[str, Any] = dict.fromkeys([*METRICS, *(f"{name}_interval" for name in METRICS)])
    found |= {"rows": len(labels), "positives": int(labels.sum()), "users": len(set(users.tolist()))}
    return found if note is None else found | {"note": note}
