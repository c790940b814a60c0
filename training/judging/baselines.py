"""Simple ways to score candidates, beside which a ranking stack has to be worth its cost.

In: the rows that the stack learns from and those it is judged on, with the log behind them. Out: per baseline and head
one score per judged row; only their order means something. Whatever is counted is known at the row's moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.collaborative import cf_weight
from recloop.events import INTERACTIONS
from recloop.extras import Extras
from recloop.labels import Head
from recloop.ranker import to_logits
from recloop.ranking import CATEGORICAL, Items, Matrix
from recloop.sequences import MAX_ACTIONS
from recloop.statistics import BASE_STATISTICS, Part, Statistic, Statistics, Stream
from recloop.tables import Column
from training.data.dataset import Ints, TrainingSet
from training.stacking.row_statistics import Moments, RowStatistics
from training.stacking.rows import Rows
from training.threads import n_threads

Numbers = NDArray[np.float64]
Scores = Mapping[Head, Numbers]

SEGMENT_PRIOR = 20
N_NEIGHBOURS = 100
_SHOWN = tuple(
    spec
    for spec in BASE_STATISTICS
    if spec.stream is Stream.EXPOSURES and spec.parts in {(Part.USER,), (Part.ITEM,), (Part.SURFACE,)}
)
RIDGE, MAX_STEPS, TOLERANCE = 10.0, 30, 1e-4
FARTHEST = 5.0
"""Standard deviations from the mean at which a column is cut, or a long tail would have all the weight."""


@dataclass(frozen=True)
class Material:
    """What models are compared on.

    `names` are the columns of both matrices; `history` is the set that the judged rows are of, its log up to their end;
    what `extras` count is known at the end of what is learned from. `catalogue` is that of the learned rows, `vectors`
    are the base models' of its items.
    """

    names: tuple[str, ...]
    learned: Rows
    judged: Rows
    history: TrainingSet
    extras: Extras
    catalogue: Items
    vectors: NDArray[np.float32]

    @property
    def judged_here(self) -> Rows:
        """Return the judged rows with items of `catalogue`, -1 for one that it lacks."""
        places = [self.catalogue.index.get(self.history.items.ids[row], -1) for row in self.judged.moments.items]
        return replace(self.judged, moments=replace(self.judged.moments, items=np.array(places, dtype=np.int64)))

    @property
    def counted(self) -> RowStatistics:
        """Return the history, counted."""
        return RowStatistics(self.history)

    @property
    def moments(self) -> Moments:
        """Return who, what, where and when of the judged rows."""
        return self.judged.moments

    @property
    def statistics(self) -> Statistics:
        """Return what is counted."""
        return self.extras.statistics

    @property
    def learned_until_ms(self) -> int:
        """Return the moment before which everything that is learned from lies."""
        return self.statistics.until_ms

    def column(self, name: str) -> Numbers:
        """Return one column of the judged rows."""
        return self.judged.matrix[:, self.names.index(name)].astype(np.float64)


@dataclass(frozen=True)
class LogMaterial:
    """As much of it as there is where a bundle is judged and nothing is learned: some columns of the judged rows."""

    counted: RowStatistics
    moments: Moments
    statistics: Statistics
    columns: Mapping[str, Numbers]

    @property
    def learned_until_ms(self) -> int:
        """Return the moment before which everything that is known from the start lies."""
        return self.statistics.until_ms

    def column(self, name: str) -> Numbers:
        """Return one column of the judged rows."""
        return self.columns[name]


Baseline = Callable[[Material, Sequence[Head]], Scores]


def log_baselines(
    history: TrainingSet, counted: RowStatistics, moments: Moments, base_scores: Mapping[str, Numbers]
) -> dict[str, Scores]:
    """Return the scores of the baselines that cost next to nothing: they count, or read a column.

    Args:
        history: the set that the rows are of.
        counted: its statistics; known at the holdout's start, they move on by the hour as a bundle's do.
        moments: the judged rows.
        base_scores: `cf_score` and `sequence_score` of each.
    """
    table = counted.table(until_ms=history.split.holdout_ms, specs=_SHOWN)
    columns = dict(zip(table.names, counted.columns(moments, table).T.astype(np.float64), strict=True))
    material = LogMaterial(counted, moments, table, {**columns, **base_scores})
    shown = {"popularity": popularity, "popularity_by_segment": popularity_by_segment, "log_odds": log_odds}
    alone = {"als": als_alone, "transformer": transformer_alone}
    # Where nothing was shown before, the first tell nothing apart.
    found = shown | alone if len(table.keys) else alone
    return {name: baseline(material, [*Head]) for name, baseline in found.items()}


def popularity(material: Material | LogMaterial, heads: Sequence[Head]) -> Scores:
    """Score an item by its smoothed rate among everyone it was shown to."""
    return {head: material.column(f"exposures_by_item_{head}") for head in heads}


def popularity_by_segment(material: Material | LogMaterial, heads: Sequence[Head]) -> Scores:
    """Score an item by its rate in the user's segment, smoothed towards its rate among everyone."""
    spec = Statistic(Stream.EXPOSURES, (Part.ITEM, Column.SEGMENT), SEGMENT_PRIOR)
    counted = material.counted
    table = counted.table(until_ms=material.learned_until_ms, specs=[spec])
    own = counted.columns(material.moments, table).astype(np.float64)
    count, everyone = own[:, 0], popularity(material, heads)
    # Both rates are less the mean m: (sum - n m) / (n + prior) + r - r n / (n + prior) = (sum + prior (m + r)) / … - m.
    share = count / (count + SEGMENT_PRIOR)
    return {head: everyone[head] * (1 - share) + own[:, table.names.index(f"{spec.name}_{head}")] for head in heads}


def log_odds(material: Material | LogMaterial, heads: Sequence[Head]) -> Scores:
    """Add the smoothed log-odds of user, item and surface: naive Bayes over the three (Hand and Yu 2001)."""
    means = dict(zip(Head, material.statistics.means[Stream.EXPOSURES], strict=True))
    found = {}
    for head in heads:
        rates = (material.column(f"{spec.name}_{head}") for spec in _SHOWN)
        found[head] = np.sum([to_logits(means[head] + rate) for rate in rates], axis=0)
    return found


def item_knn(material: Material, heads: Sequence[Head]) -> Scores:
    """Score an item by its cosine with what the user did last (Sarwar et al. 2001), the same for every head."""
    from implicit.nearest_neighbours import CosineRecommender

    log, n_items = material.history.interactions, len(material.history.items)
    weights = np.array([0.0, *map(cf_weight, INTERACTIONS)])[log.actions]
    users = np.repeat(np.arange(len(log.user_ids)), np.diff(log.starts))
    known = (log.times_ms < material.learned_until_ms) & (weights > 0)
    model = CosineRecommender(K=N_NEIGHBOURS, num_threads=n_threads())
    model.fit(
        _sparse(weights[known], users[known], log.items[known], (len(log.user_ids), n_items)), show_progress=False
    )
    alike = model.similarity.tolil()
    # Having met an item before is no likeness to another.
    alike.setdiag(0)
    recent = _recent(material, weights)
    # implicit adds up the rows of the user's items; here only the candidate's entry of that sum is wanted.
    scores = np.asarray(recent.multiply(alike.tocsr().T.tocsr()[material.judged.moments.items]).sum(axis=1)).ravel()
    return dict.fromkeys(heads, scores)


def _recent(material: Material, weights: Numbers) -> Any:
    """Return sparse [judged rows, items]: the weights of what the user did last, before each row's moment."""
    log, moments = material.history.interactions, material.judged.moments
    spans = []
    for user, time_ms in zip(moments.user_ids.tolist(), moments.times_ms.tolist(), strict=True):
        span = log.span(user, before_ms=time_ms)
        spans.append(np.arange(max(span.start, span.stop - MAX_ACTIONS), span.stop))
    places: Ints = np.concatenate(spans).astype(np.int64)
    rows = np.repeat(np.arange(len(spans)), [*map(len, spans)])
    return _sparse(weights[places], rows, log.items[places], (len(spans), len(material.history.items)))


def _sparse(values: Numbers, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_matrix

    matrix = csr_matrix((values, (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def als_alone(material: Material | LogMaterial, heads: Sequence[Head]) -> Scores:
    """Score by the dot product of ALS (Hu, Koren and Volinsky 2008) alone; an item that it lacks scores lowest."""
    return _alone(material, heads, "cf_score")


def transformer_alone(material: Material | LogMaterial, heads: Sequence[Head]) -> Scores:
    """Score by the sequence model (after Kang and McAuley 2018) alone; an item that it lacks scores lowest."""
    return _alone(material, heads, "sequence_score")


def _alone(material: Material | LogMaterial, heads: Sequence[Head], name: str) -> Scores:
    scores = material.column(name)
    known = scores[~np.isnan(scores)]
    return dict.fromkeys(heads, np.nan_to_num(scores, nan=float(known.min(initial=0.0)) - 1))


def logistic_regression(material: Material, heads: Sequence[Head]) -> Scores:
    """Learn a logistic regression with a ridge (le Cessie and van Houwelingen 1992) on what the trees learn from."""
    learned, judged = standardised(material.learned.matrix, material.judged.matrix, material.names)
    return {head: judged @ fit_logistic(learned, material.learned.labels[head]) for head in heads}


def standardised(learned: Matrix, judged: Matrix, names: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Return both with a column of ones, numbers by the mean and deviation of the learned, and categories one-hot.

    What is unknown is 0, the mean; so is a category that the learned rows lack.
    """
    parts: list[tuple[Numbers, Numbers]] = [(np.ones((len(learned), 1)), np.ones((len(judged), 1)))]
    for place, name in enumerate(names):
        old, new = learned[:, place].astype(np.float64), judged[:, place].astype(np.float64)
        if name in CATEGORICAL:
            codes = np.unique(old[old >= 0])
            parts.append((1.0 * (old[:, None] == codes), 1.0 * (new[:, None] == codes)))
            continue
        known = old[~np.isnan(old)]
        if len(known) and known.std() > 0:
            parts.append((_scaled(old, known), _scaled(new, known)))
    return np.hstack([old for old, _ in parts]), np.hstack([new for _, new in parts])


def _scaled(values: Numbers, known: Numbers) -> Numbers:
    scaled: Numbers = np.clip(np.nan_to_num((values - known.mean()) / known.std()), -FARTHEST, FARTHEST)
    return scaled[:, None]


def fit_logistic(design: Numbers, labels: NDArray[np.int8]) -> Numbers:
    """Return the weights by Newton's method with halved steps; the first column, of ones, has no ridge."""
    ridge = np.full(design.shape[1], RIDGE)
    ridge[0] = 1e-6
    weights = np.zeros(design.shape[1])

    def loss(at: Numbers) -> float:
        logit = design @ at
        return float((np.logaddexp(0, logit) - labels * logit).sum() + (ridge * at**2).sum() / 2)

    for _ in range(MAX_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        hessian = design.T @ ((chance * (1 - chance))[:, None] * design) + np.diag(ridge)
        step = np.linalg.solve(hessian, design.T @ (labels - chance) - ridge * weights)
        while loss(weights + step) > loss(weights) and abs(step).max() > TOLERANCE:
            step /= 2
        weights = weights + step
        if abs(step).max() <= TOLERANCE:
            break
    return weights


BASELINES: Mapping[str, Baseline] = {
    "popularity": popularity,
    "popularity by segment": popularity_by_segment,
    "log-odds of user, item, surface": log_odds,
    "item-kNN": item_knn,
    "ALS alone": als_alone,
    "transformer alone": transformer_alone,
    "logistic regression": logistic_regression,
}
