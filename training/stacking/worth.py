"""Whether a stage earns its place: the trees with its columns against the trees without, on the same later rows.

In: two stacks of the same rows. Out: per head how much AUC and GAUC the one has more, and how much less log-loss when
calibrated, with intervals by user. A stage stays if some number is better for certain and none is worse; one that
cannot be told apart only costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recloop.head_metrics import auc_difference_interval, gauc_difference_interval, log_losses
from recloop.labels import Head
from recloop.metrics import FEW_RESAMPLES, Interval, bootstrap_interval
from training.stacking.rows import Rows
from training.stacking.stack import Stack, split_rows

DECIDING_HEADS = (Head.CLICK, Head.LONG_VIEW, Head.LIKE)
"""Whether a stage stays is decided by these; what it does for hides is not asked."""


@dataclass(frozen=True)
class Worth:
    """Differences by head and metric; a number that is not defined is left out. As text, a line for the log."""

    differences: dict[str, dict[str, Interval]]

    @property
    def helps(self) -> bool:
        """Tell whether the stage stays."""
        found = [interval for own in self.differences.values() for interval in own.values()]
        return any(own.low > 0 for own in found) and not any(own.high < 0 for own in found)

    def __str__(self) -> str:
        gains = [
            f"{head} {name} {own.mean:+.4f} [{own.low:+.4f}, {own.high:+.4f}]"
            for head, found in self.differences.items()
            for name, own in found.items()
        ]
        return ", ".join(gains) or "nothing to compare"

    def to_dict(self) -> dict[str, Any]:
        """Return what manifests and reports hold of it."""
        return {
            "helps": self.helps,
            "gains": {
                head: {name: {"value": own.mean, "interval": [own.low, own.high]} for name, own in found.items()}
                for head, found in self.differences.items()
            },
        }


def worth_of(stack: Stack, without: Stack, rows: Rows, *, seed: int) -> Worth:
    """Compare two stacks on the rows that chose the plans of both, those that users met if there are any."""
    _, validation = split_rows(rows)
    met = np.flatnonzero(validation.met) if validation.met.any() else np.arange(len(validation))
    users, sampled = validation.user_ids[met], {"seed": seed, "n_resamples": FEW_RESAMPLES}
    differences: dict[str, dict[str, Interval]] = {}
    for head in DECIDING_HEADS:
        if head not in stack.checked or head not in without.checked:
            continue
        labels = validation.labels[head][met]
        ours, theirs = stack.checked[head][met], without.checked[head][met]
        losses = (log_losses(labels, own) for own in (without.calibrated(head, theirs), stack.calibrated(head, ours)))
        found = {
            "auc": auc_difference_interval(labels, ours, theirs, users, **sampled),
            "gauc": gauc_difference_interval(labels, ours, theirs, users, **sampled),
            "log_loss": bootstrap_interval(np.subtract(*losses), groups=users.tolist(), **sampled),
        }
        differences[head] = {name: own for name, own in found.items() if not np.isnan(own.low)}
    return Worth(differences)
