"""What the newest rows choose, before all that ranks is trained on all rows.

In: rows, oldest first, and a ranker whose forms are checked if one is wanted. Out: `RankingPlan`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.costs import Stopwatch
from training.stacking.pooled import PooledRanker
from training.stacking.rows import Rows
from training.stacking.stack import Stack, plan_stack
from training.stacking.worth import Worth, worth_of

LOG = logging.getLogger(__name__)


TREES = "trees"
MOST_CHECKED_ROWS = 40_000
"""Of more rows than this a CPU checks the lightest form alone: the next takes about five times as long to learn them,
and its check longer than any other part of a training (docs/adr/0011-ranker-beside-the-trees.md)."""


@dataclass(frozen=True)
class Check:
    """What the heads gain by a form of the ranker over what was best so far: another form, or the trees alone."""

    form: str
    against: str
    worth: Worth

    def to_dict(self) -> dict[str, Any]:
        """Return what manifests hold of it."""
        return {"form": self.form, "against": self.against, **self.worth.to_dict()}


@dataclass(frozen=True)
class RankingPlan:
    """How trees and ranker are trained.

    `stack` has sizes, numbers and calibration of the trees, with the ranker if there is one; `form` is None where there
    is none, and `epochs` are its; `checks` are none where none was wanted, and `unchecked` are the forms whose check
    would have taken too long.
    """

    stack: Stack
    form: str | None = None
    epochs: int = 0
    checks: tuple[Check, ...] = ()
    unchecked: tuple[str, ...] = ()


def plan_ranking(
    rows: Rows, ranker: PooledRanker | None, *, names: Sequence[str], always: bool, seed: int, watch: Stopwatch
) -> RankingPlan:
    """Plan the trees, then check the ranker's forms, the lightest first.

    A form stays if the heads are better with it than with what stayed before it, see `Worth`; the first `always`. On a
    CPU the others are checked where there are no more than MOST_CHECKED_ROWS to learn from.

    Raises:
        TrainingError: no head can be learned, or the loss stopped being a number.
    """
    with watch.part("stack"):
        trees = plan_stack(rows, names=names, seed=seed)
    plan = RankingPlan(trees)
    if ranker is None:
        return plan
    for form in ranker.forms:
        if plan.checks and ranker.device == "cpu" and len(rows) > MOST_CHECKED_ROWS:
            LOG.info("the ranker %s is not checked on a CPU: that would take too long for %d rows", form, len(rows))
            plan = replace(plan, unchecked=(*plan.unchecked, form))
            continue
        with watch.part("ranker"):
            pooled = ranker.check(trees, form)
            found = Check(form, plan.form or TREES, worth_of(pooled, plan.stack, rows, seed=seed))
        stays = found.worth.helps or (always and plan.form is None)
        LOG.info("the ranker %s is %s: over %s %s", form, "kept" if stays else "left out", found.against, found.worth)
        plan = replace(plan, checks=(*plan.checks, found))
        if stays:
            plan = replace(plan, stack=pooled, form=form, epochs=ranker.results[-1].best_epoch)
    return plan
