"""What the newest rows choose, before all that ranks is trained on all rows.

In: rows, oldest first, and a ranker to check if one is wanted. Out: `RankingPlan`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from training.costs import Stopwatch
from training.stacking.pooled import PooledRanker
from training.stacking.rows import Rows
from training.stacking.stack import Stack, plan_stack
from training.stacking.worth import Worth, worth_of

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RankingPlan:
    """How trees and ranker are trained.

    `stack` has sizes, numbers and calibration of the trees, with the ranker if there is one; `ranker_epochs` is 0 where
    there is none; `worth` None where none was wanted.
    """

    stack: Stack
    ranker_epochs: int = 0
    worth: Worth | None = None


def plan_ranking(
    rows: Rows, ranker: PooledRanker | None, *, names: Sequence[str], always: bool, seed: int, watch: Stopwatch
) -> RankingPlan:
    """Plan the trees, check the ranker, and keep it where the heads are better with it, or `always`; see `Worth`.

    Raises:
        TrainingError: no head can be learned, or the loss stopped being a number.
    """
    with watch.part("stack"):
        stack = plan_stack(rows, names=names, seed=seed)
    if ranker is None:
        return RankingPlan(stack)
    with watch.part("ranker"):
        pooled = ranker.check(stack)
        worth = worth_of(pooled, stack, rows, seed=seed)
    kept = always or worth.helps
    LOG.info("the ranker is %s: with it %s", "kept" if kept else "left out", worth)
    if kept:
        return RankingPlan(pooled, ranker.results[-1].best_epoch, worth)
    return RankingPlan(stack, worth=worth)
