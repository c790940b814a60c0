"""The numbers of one head on some rows, as reports hold them: metrics, their intervals by user, and counts.

In: labels, chances and users, one per row. Out: the same keys whatever the rows are; a number that is not defined (one
class only) or was not measured is None, and a note says which and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.head_metrics import auc, auc_interval, expected_calibration_error, gauc_interval, grouped_auc, log_loss
from recloop.metrics import Interval

METRICS = ("auc", "gauc", "log_loss", "ece")
INTERVALS: Mapping[str, Callable[..., Interval]] = {"auc": auc_interval, "gauc": gauc_interval}

Labels = NDArray[np.int8]
Users = NDArray[Any]


def head_numbers(
    labels: Labels, chances: NDArray[np.float64], users: Users, *, seed: int, n_resamples: int
) -> dict[str, Any]:
    """Return what the rows say of a head."""
    values = {
        "auc": auc(labels, chances),
        "gauc": grouped_auc(labels, chances, users),
        "log_loss": log_loss(labels, chances),
        "ece": expected_calibration_error(labels, chances),
    }
    found = unmeasured(labels, users)
    found |= {name: value for name, value in values.items() if not np.isnan(value)}
    for name, interval in INTERVALS.items():
        own = interval(labels, chances, users, seed=seed, n_resamples=n_resamples)
        found[_interval(name)] = None if np.isnan(own.low) else [own.low, own.high]
    undefined = [name for name, value in values.items() if np.isnan(value)]
    if undefined:
        found["note"] = (
            f"{', '.join(undefined)}: not defined, {found['positives']} of {len(labels)} rows are positive"
            + ("." if "auc" in undefined else ", and no user has both a positive and a negative one.")
        )
    return found


def unmeasured(labels: Labels, users: Users, *, note: str | None = None) -> dict[str, Any]:
    """Return the counts, and None for each number."""
    found: dict[str, Any] = dict.fromkeys([*METRICS, *map(_interval, INTERVALS)])
    found |= {"rows": len(labels), "positives": int(labels.sum()), "users": len(set(users.tolist()))}
    return found if note is None else found | {"note": note}


def _interval(name: str) -> str:
    return f"{name}_interval"
