"""The rows LightGBM learns from: point-in-time ranking features with one label per head.

Two kinds of rows, both made by `recloop.ranking.ranking_matrix`:
- label rows of the training set and its sampled negatives, each with the outcome of that very moment;
- requests: what the base models would have nominated at a moment, with what the user came to do with it later. They
  are what the ranker meets in serving, where most candidates are good and popularity alone does not tell them apart.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recloop.extras import ATTRIBUTE, Extras, as_number
from recloop.histories import Histories
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES, Context, Items, Matrix, Vocabularies, ranking_matrix
from recloop.recommender import Recommender
from recloop.retrieval import Retriever
from recloop.tables import Column, Origin
from training.data.dataset import Ints, TrainingSet
from training.data.item_history import ItemHistory
from training.data.requests import Request
from training.stacking.row_statistics import Moments, RowStatistics

BATCH, EXAMPLE_BATCH = 64, 1_024
"""Requests at a time: of those that score the whole catalogue, and of examples, whose histories of like length then are
encoded together."""

N_CANDIDATE_NEGATIVES = 30
CATEGORIES = (Column.SURFACE, Column.DEVICE, Column.SEGMENT, Column.AGE_GROUP, Column.GENDER)


@dataclass(frozen=True)
class Rows:
    """A ranking matrix, its labels, and per row who, what, where, when.

    `attributes` are those known of the user then, one mapping for all rows where they are the same; `met`: a user truly
    met the item then, so that the labels are of that meeting; `shown`: an impression says so. `request` is a row of
    `histories`, which rows taken from these share.
    """

    matrix: Matrix
    labels: dict[Head, NDArray[np.int8]]
    moments: Moments
    attributes: NDArray[np.object_]
    met: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    histories: Histories
    request: Ints

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def times_ms(self) -> Ints:
        """Return the moment of each row."""
        return self.moments.times_ms

    @property
    def user_ids(self) -> NDArray[np.object_]:
        """Return the user of each row."""
        return self.moments.user_ids

    def take(self, rows: NDArray[np.bool_] | Ints | slice) -> Rows:
        """Return some rows; of a slice, views."""
        labels = {head: values[rows] for head, values in self.labels.items()}
        return Rows(
            self.matrix[rows], labels, self.moments.take(rows), self.attributes[rows], self.met[rows],
            self.shown[rows], self.histories, self.request[rows],
        )  # fmt: skip


def learn_vocabularies(training_set: TrainingSet, rows: Ints) -> Vocabularies:
    """Number the categories that these examples name; order is by name, so that a rerun gives the same codes.

    An attribute of users has codes too, or none where all its values are numbers; one with a single value is left out.
    """
    examples = training_set.examples
    columns = {Column.SURFACE: examples.surfaces, Column.DEVICE: examples.devices, **examples.profile}
    codes = {str(name): _numbered({value for value in columns[name][rows] if value}) for name in CATEGORIES}
    values: dict[str, set[str]] = defaultdict(set)
    first, _ = _distinct(examples.attributes[rows])
    for own in examples.attributes[rows][first]:
        for name, value in own.items():
            values[name].add(value)
    attributes = {ATTRIBUTE + name: found for name, found in values.items() if len(found) > 1}
    return Vocabularies(
        codes | {name: {} if _all_numbers(found) else _numbered(found) for name, found in sorted(attributes.items())}
    )


def _numbered(values: set[str]) -> dict[str, int]:
    return {value: code for code, value in enumerate(sorted(values))}


def _all_numbers(values: set[str]) -> bool:
    return not any(np.isnan(as_number(value)) for value in values)


def example_rows(
    training_set: TrainingSet,
    retriever: Retriever,
    vocabularies: Vocabularies,
    rows: Ints,
    *,
    counted: RowStatistics | None = None,
) -> Rows:
    """Return examples as rows, in their order; those of a recommender with columns of its own have them too.

    `counted` is what those columns are counted by, where the caller has it already.
    """
    examples = training_set.examples
    requests = list(training_set.requests(rows))
    matrix, histories = _example_matrix(training_set, retriever, vocabularies, requests)
    moments = Moments(examples.user_ids[rows], examples.items[rows], examples.surfaces[rows], examples.times_ms[rows])
    labels = {head: examples.labels[head][rows] for head in Head}
    found = Rows(
        matrix, labels, moments, examples.attributes[rows], ~examples.sampled[rows],
        shown(training_set, rows), histories, np.repeat(np.arange(len(requests)), [*map(len, requests)]),
    )  # fmt: skip
    if not isinstance(retriever, Recommender):
        return found
    if retriever.extras is not None:
        found = with_extras(training_set, counted or RowStatistics(training_set), found, retriever.extras)
    return found if retriever.ranker is None else with_ranker(retriever, training_set.items, found)


def _example_matrix(
    training_set: TrainingSet, retriever: Retriever, vocabularies: Vocabularies, requests: list[Ints]
) -> tuple[Matrix, Histories]:
    """Return the ranking matrix of the requests' examples, and the history of each request."""
    # Filled in place: small arrays kept from each batch would lie between its large ones and hold their memory.
    matrix = np.empty((sum(map(len, requests)), len(RANKING_FEATURES)), dtype=np.float32)
    histories = Histories.blank(len(requests))
    stop = 0
    for first in range(0, len(requests), EXAMPLE_BATCH):
        group = requests[first : first + EXAMPLE_BATCH]
        start, stop = stop, stop + sum(map(len, group))
        known = _fill(matrix[start:stop], training_set, retriever, vocabularies, group)
        for whole, part in zip(histories.parts, known.parts, strict=True):
            whole[first : first + len(group)] = part
    return matrix, histories


def _fill(
    matrix: Matrix, training_set: TrainingSet, retriever: Retriever, vocabularies: Vocabularies, requests: list[Ints]
) -> Histories:
    """Write the examples of a few requests into a matrix of as many rows; return the requests' histories."""
    examples, items = training_set.examples, training_set.items
    asked = [
        (training_set.user_state(int(own[0]), with_seen=False), training_set.context(int(own[0]))) for own in requests
    ]
    histories = retriever.histories(asked)
    rows = np.concatenate(requests)
    asked_by = np.repeat(np.arange(len(requests)), [*map(len, requests)])
    ids = [items.ids[row] for row in examples.items[rows]]
    cf_scores, sequence_scores = retriever.pair_scores(asked, histories, asked_by, ids)
    numbers = np.hstack([examples.item_numbers[rows], items.fixed_columns[examples.items[rows]]])
    stop = 0
    for own, (user, context) in zip(requests, asked, strict=True):
        start, stop = stop, stop + len(own)
        matrix[start:stop] = ranking_matrix(
            user, items, examples.items[own], context=context, vocabularies=vocabularies,
            cf_scores=cf_scores[start:stop], sequence_scores=sequence_scores[start:stop],
            item_numbers=numbers[start:stop], item_as_of_ms=_ages(examples.item_as_of_ms[own], context),
        )  # fmt: skip
    return histories


def shown(training_set: TrainingSet, rows: Ints) -> NDArray[np.bool_]:
    """Tell which examples are exposures: an impression began them."""
    examples = training_set.examples
    from_impression: NDArray[np.bool_] = examples.origins[rows] == Origin.IMPRESSION
    return from_impression & ~examples.sampled[rows]


def with_extras(
    training_set: TrainingSet,
    counted: RowStatistics,
    rows: Rows,
    extras: Extras,
    *,
    snapshots_to_ms: int | None = None,
) -> Rows:
    """Return the rows with the columns of `recloop.extras` behind the others; see `RowStatistics.columns`."""
    first, group = _distinct(rows.attributes)
    attributes = np.stack([extras.attribute_row(own) for own in rows.attributes[first]])
    known = counted.columns(rows.moments, extras.statistics, snapshots_to_ms=snapshots_to_ms)
    for_slate = (~rows.shown).astype(np.float32)[:, None]
    return replace(rows, matrix=np.hstack([rows.matrix, for_slate, attributes[group], known]))


def with_ranker(recommender: Recommender, items: Items, rows: Rows) -> Rows:
    """Return the rows with the ranker's columns behind the others; an item that the bundle lacks is unknown to it."""
    assert recommender.ranker is not None, "the caller looked"
    places = np.array([recommender.items.index.get(items.ids[row], -1) for row in rows.moments.items], dtype=np.int64)
    own = recommender.ranker.columns(rows.matrix, rows.histories, rows.request, places)
    return replace(rows, matrix=np.hstack([rows.matrix, own]))


def _distinct(mappings: NDArray[np.object_]) -> tuple[Ints, Ints]:
    """Return where each mapping is met first, and the number of each row's; equal ones that are not one count apart."""
    _, first, group = np.unique([id(mapping) for mapping in mappings], return_index=True, return_inverse=True)
    return first, group


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
            parts.append(
                _request(retriever, training_set, vocabularies, history, request, nominated, scores, generator)
            )
    return concatenate(parts)


def _request(
    retriever: Retriever,
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
    moments = Moments(
        np.full(n, request.user.user_id, dtype=object), items, np.full(n, request.context.surface, dtype=object),
        np.full(n, request.context.time_ms),
    )  # fmt: skip
    attributes = np.full(n, None, dtype=object)
    attributes[:] = [request.user.attributes] * n
    return Rows(
        matrix, labels, moments, attributes, np.zeros(n, dtype=bool), np.zeros(n, dtype=bool),
        retriever.histories([(request.user, request.context)]), np.zeros(n, dtype=np.int64),
    )  # fmt: skip


def concatenate(parts: list[Rows]) -> Rows:
    """Return all rows, oldest first."""
    before = np.cumsum([0, *(len(part.histories) for part in parts)])
    both = Rows(
        np.vstack([part.matrix for part in parts]),
        {head: np.concatenate([part.labels[head] for part in parts]) for head in Head},
        Moments.of([part.moments for part in parts]),
        np.concatenate([part.attributes for part in parts]),
        np.concatenate([part.met for part in parts]),
        np.concatenate([part.shown for part in parts]),
        Histories.of([part.histories for part in parts]),
        np.concatenate([part.request + first for part, first in zip(parts, before[:-1], strict=True)]),
    )
    return both.take(np.argsort(both.times_ms, kind="stable"))


def _ages(as_of_ms: NDArray[np.float64], context: Context) -> NDArray[np.float64]:
    # An item without a row has nothing that could fade.
    return np.where(np.isnan(as_of_ms), context.time_ms, as_of_ms)
