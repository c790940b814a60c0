"""The rows of a span of time: what the base models make of its examples and requests, with all that is counted.

In: a training set and its base models. Out: rows for the stack, and the bundle's own columns (`recloop.extras`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloop.clock import MS_PER_DAY
from recloop.collaborative import FoldIn
from recloop.extras import Extras
from recloop.features import EVERYONE, MAX_POPULAR_ITEMS, POPULARITY_HALF_LIFE_DAYS
from recloop.labels import Head
from recloop.retrieval import Retriever
from training.data.dataset import Ints, TrainingSet
from training.data.outcomes import BY_ACTION
from training.data.requests import sample_requests
from training.retrieval.collaborative import CollaborativeModel
from training.retrieval.sequence import SequenceResult, torch_encoder
from training.stacking.row_statistics import RowStatistics
from training.stacking.rows import (
    Rows,
    concatenate,
    example_rows,
    learn_vocabularies,
    request_rows,
    shown,
    with_extras,
)

N_REQUEST_USERS, REQUESTS_PER_USER = 600, 3
MAX_EXAMPLE_ROWS = 200_000
"""Of more label rows and sampled negatives of the stack span, the newest are learned from."""


@dataclass(frozen=True)
class BaseModels:
    """What retrieval is made of."""

    collaborative: CollaborativeModel
    sequence: SequenceResult

    def retriever(self, training_set: TrainingSet, popular: Ints) -> Retriever:
        """Return both models as serving retrieves with them, before they are in a bundle."""
        model = self.collaborative
        return Retriever(
            items=training_set.items,
            popularity={EVERYONE: popular},
            fold_in=FoldIn(model.factors, regularization=model.regularization, alpha=model.alpha),
            item_vectors=self.sequence.item_vectors(),
            encode=torch_encoder(self.sequence.model),
        )

    def item_vectors(self) -> NDArray[np.float32]:
        """Return both models' vectors side by side, [items, d], each model's at a mean square of 1."""
        both = (self.collaborative.factors, self.sequence.item_vectors())
        return np.hstack([part / (np.sqrt(np.mean(np.square(part))) or 1.0) for part in both]).astype(np.float32)


def stack_rows(
    training_set: TrainingSet,
    base: BaseModels,
    *,
    end_ms: int,
    seed: int,
) -> tuple[Extras, Rows]:
    """Return the rows from the stack span's start to an end, both kinds, scored by the base models, and their extras.

    The extras' statistics are those known at the end; the rows have what was known at their own moments.
    """
    split = training_set.split
    examples = stack_examples(training_set, split.stack_ms, end_ms)
    vocabularies = learn_vocabularies(training_set, training_set.between(split.stack_ms, end_ms))
    retriever = base.retriever(training_set, popular_at(training_set, split.stack_ms))
    requests = sample_requests(
        training_set, start_ms=split.stack_ms, end_ms=end_ms, n_users=N_REQUEST_USERS,
        per_user=REQUESTS_PER_USER, seed=seed,
    )  # fmt: skip
    parts = [example_rows(training_set, retriever, vocabularies, examples)] if len(examples) else []
    if requests:
        parts.append(request_rows(training_set, retriever, vocabularies, requests, seed=seed))
    counted = RowStatistics(training_set)
    blank = counted.blank(until_ms=end_ms)
    rows = with_extras(training_set, counted, concatenate(parts), Extras(vocabularies, blank), snapshots_to_ms=end_ms)
    return Extras(vocabularies, counted.table(until_ms=end_ms, specs=blank.specs)), rows


def stack_examples(training_set: TrainingSet, start_ms: int, end_ms: int) -> Ints:
    """Return the examples of a span to learn from: what was shown; where nothing was, what was met and sampled."""
    examples = training_set.between(start_ms, end_ms)
    exposures = examples[shown(training_set, examples)]
    return (exposures if len(exposures) else examples)[-MAX_EXAMPLE_ROWS:]


def popular_at(training_set: TrainingSet, time_ms: int) -> Ints:
    """Return the most popular rows at a moment, best first: what the stack span's retrieval may know."""
    log = training_set.interactions
    kept = BY_ACTION[Head.CLICK][log.actions] & (log.times_ms < time_ms)
    weights = 0.5 ** ((time_ms - log.times_ms[kept]) / MS_PER_DAY / POPULARITY_HALF_LIFE_DAYS)
    sums = np.bincount(log.items[kept], weights=weights, minlength=len(training_set.items))
    order = np.argsort(-sums, kind="stable")[:MAX_POPULAR_ITEMS]
    return order[sums[order] > 0]
