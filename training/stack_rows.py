"""The rows LightGBM learns from: point-in-time ranking features with one label per head.

Two kinds of rows, both made by `recloop.ranking.ranking_matrix`:
- label rows of the training set and its sampled negatives, each with the outcome of that very moment;
- requests: what the base models would have nominated at a moment, with what the user came to do with it later. They
  are what the ranker meets in serving, where most candidates are good and popularity alone does not tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloop.labels import Head
from recloop.ranking import Context, Matrix, Vocabularies, ranking_matrix
from recloop.recommend import Retriever
from recloop.tables import Column
from training.dataset import Ints, TrainingSet
from training.item_history import ItemHistory
from training.requests import Request

BATCH = 64
N_CANDIDATE_NEGATIVES = 30
CATEGORIES = ("surface", "device", Column.SEGMENT, Column.AGE_GROUP, Column.GENDER)


@dataclass(frozen=True)
class Rows:
    """A ranking matrix, its labels, and per row: the moment, the user, and whether a user truly met the item."""

    matrix: Matrix
    labels: dict[Head, NDArray[np.int8]]
    times_ms: Ints
    user_ids: NDArray[np.object_]
    met: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.matrix)

    def take(self, rows: NDArray[np.bool_]) -> Rows:
        """Return some rows."""
        labels = {head: values[rows] for head, values in self.labels.items()}
        return Rows(self.matrix[rows], labels, self.times_ms[rows], self.user_ids[rows], self.met[rows])


def learn_vocabularies(training_set: TrainingSet, rows: Ints) -> Vocabularies:
    """Number the categories that these examples name; order is by name, so that a rerun gives the same codes."""
    examples = training_set.examples
    columns = {"surface": examples.surfaces, "device": examples.devices, **examples.profile}
    return Vocabularies(
        {
            str(name): {value: code for code, value in enumerate(sorted({v for v in columns[name][rows] if v}))}
            for name in CATEGORIES
        }
    )


def example_rows(training_set: TrainingSet, retriever: Retriever, vocabularies: Vocabularies, rows: Ints) -> Rows:
    """Return examples as rows, in their order."""
    examples = training_set.examples
    matrices: list[Matrix] = []
    requests = list(training_set.requests(rows))
    for first in range(0, len(requests), BATCH):
        group = requests[first : first + BATCH]
        asked = [
            (training_set.user_state(int(own[0]), with_seen=False), training_set.context(int(own[0]))) for own in group
        ]
        cf_scores, sequence_scores = retriever.batch_scores(asked)
        for place, (own, (user, context)) in enumerate(zip(group, asked, strict=True)):
            items = examples.items[own]
            known = np.hstack([examples.item_numbers[own], training_set.items.numbers[items][:, -2:]])
            matrices.append(
                ranking_matrix(
                    user,
                    training_set.items,
                    items,
                    context=context,
                    vocabularies=vocabularies,
                    cf_scores=cf_scores[place, items],
                    sequence_scores=sequence_scores[place, items],
                    item_numbers=known,
                    item_as_of_ms=_ages(examples.item_as_of_ms[own], context),
                )
            )
    labels = {head: examples.labels[head][rows] for head in Head}
    return Rows(np.vstack(matrices), labels, examples.times_ms[rows], examples.user_ids[rows], ~examples.sampled[rows])


def request_rows(
    training_set: TrainingSet,
    retriever: Retriever,
    vocabularies: Vocabularies,
    requests: list[Request],
    *,
    seed: int,
) -> Rows:
    """Return, per request, all candidates with an outcome and up to N_CANDIDATE_NEGATIVES without."""
    history = ItemHistory(training_set)
    generator = np.random.default_rng(seed)
    parts: list[Rows] = []
    for first in range(0, len(requests), BATCH):
        group = requests[first : first + BATCH]
        cf_scores, sequence_scores = retriever.batch_scores([(request.user, request.context) for request in group])
        for place, request in enumerate(group):
            scores = cf_scores[place], sequence_scores[place]
            nominated = retriever.nominate(request.user, cf_scores=scores[0], sequence_scores=scores[1]).rows
            parts.append(_request(training_set, vocabularies, history, request, nominated, scores, generator))
    return concatenate(parts)


def _request(
    training_set: TrainingSet,
    vocabularies: Vocabularies,
    history: ItemHistory,
    request: Request,
    nominated: Ints,
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    generator: np.random.Generator,
) -> Rows:
    found, numbers, as_of_ms = history.known(nominated, request.context.time_ms)
    touched = np.isin(nominated, np.concatenate(list(request.outcomes.values())))
    without = np.flatnonzero(found & ~touched)
    kept = np.sort(
        np.concatenate([np.flatnonzero(found & touched), generator.permutation(without)[:N_CANDIDATE_NEGATIVES]])
    )
    items = nominated[kept]
    matrix = ranking_matrix(
        request.user, training_set.items, items, context=request.context, vocabularies=vocabularies,
        cf_scores=scores[0][items], sequence_scores=scores[1][items],
        item_numbers=numbers[kept], item_as_of_ms=as_of_ms[kept],
    )  # fmt: skip
    labels = {head: np.isin(items, request.outcomes[head]).astype(np.int8) for head in Head}
    n = len(items)
    return Rows(
        matrix, labels, np.full(n, request.context.time_ms), np.full(n, request.user.user_id, dtype=object),
        np.zeros(n, dtype=bool),
    )  # fmt: skip


def concatenate(parts: list[Rows]) -> Rows:
    """Return all rows, oldest first."""
    times = np.concatenate([part.times_ms for part in parts])
    order = np.argsort(times, kind="stable")
    return Rows(
        np.vstack([part.matrix for part in parts])[order],
        {head: np.concatenate([part.labels[head] for part in parts])[order] for head in Head},
        times[order],
        np.concatenate([part.user_ids for part in parts])[order],
        np.concatenate([part.met for part in parts])[order],
    )


def _ages(as_of_ms: NDArray[np.float64], context: Context) -> NDArray[np.float64]:
    # An item without a row has nothing that could fade.
    return np.where(np.isnan(as_of_ms), context.time_ms, as_of_ms)
