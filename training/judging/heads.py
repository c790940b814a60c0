"""Judge a recommender's heads on examples: each scored with what was known at its moment, and compared with what came.

In: a recommender and a training set whose examples it did not learn from. Out: probabilities per head and row, and the
numbers of a report, which `training.judging.head_numbers` describes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloop.bundles import Manifest
from recloop.clock import format_time, from_ms
from recloop.labels import Head
from recloop.metrics import N_RESAMPLES
from recloop.ranking import RANKING_FEATURES
from recloop.recommender import Recommender
from recloop.tables import Origin
from training.data.dataset import Ints, TrainingSet
from training.judging.baselines import Scores, log_baselines
from training.judging.head_numbers import baseline_numbers, head_numbers, unmeasured
from training.judging.slices import Masks, measure_slices
from training.stacking.row_statistics import Moments, RowStatistics
from training.stacking.rows import example_rows, shown

LOG = logging.getLogger(__name__)
CHUNK = 20_000
BASE_SCORES = {name: RANKING_FEATURES.index(name) for name in ("cf_score", "sequence_score")}


@dataclass(frozen=True)
class ScoredRows:
    """Examples, what came of them and what each head said, in the order of `rows`; and each baseline, by head."""

    rows: Ints
    moments: Moments
    labels: Mapping[str, NDArray[np.int8]]
    chances: Mapping[str, NDArray[np.float64]]
    baselines: Mapping[str, Scores] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


def judged_rows(training_set: TrainingSet, start_ms: int, end_ms: int) -> tuple[Ints, str]:
    """Return the examples of a span that tell how good the heads are, and the origin they have.

    Those of impressions; in a span without any, what users did by themselves, which has few negatives.
    """
    rows = training_set.between(start_ms, end_ms)
    exposures = rows[shown(training_set, rows)]
    if len(exposures):
        return exposures, Origin.IMPRESSION
    return rows[~training_set.examples.sampled[rows]], Origin.ORGANIC


def in_sample_note(manifest: Manifest, times_ms: Ints) -> str | None:
    """Say, in the log too, how many of the judged moments a bundle learned from; None if none, or it does not say."""
    learned_ms = manifest.metrics.get("learned_until_ms", 0)
    n_learned = int((times_ms < learned_ms).sum())
    if not n_learned:
        return None
    note = (
        f"bundle {manifest.bundle_id} learned from what came before {format_time(from_ms(learned_ms))}: {n_learned} of "
        f"the {len(times_ms)} judged rows lie before that and do not tell how it does on later time."
    )
    LOG.warning("%s", note)
    return note


def score_rows(recommender: Recommender, training_set: TrainingSet, rows: Ints) -> ScoredRows:
    """Score examples in time order; an item or user that the bundle lacks is scored too, by what else is known."""
    counted, examples = RowStatistics(training_set), training_set.examples
    parts: list[dict[str, NDArray[np.float64]]] = []
    for first in range(0, len(rows), CHUNK):
        table = example_rows(
            training_set, recommender, recommender.vocabularies, rows[first : first + CHUNK], counted=counted
        )
        part = {str(head): np.asarray(found) for head, found in recommender.predict(table.matrix).items()}
        parts.append(part | {name: table.matrix[:, place].astype(np.float64) for name, place in BASE_SCORES.items()})
    found = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    moments = Moments(examples.user_ids[rows], examples.items[rows], examples.surfaces[rows], examples.times_ms[rows])
    base_scores = {name: found.pop(name) for name in BASE_SCORES if parts}
    return ScoredRows(
        rows,
        moments,
        {str(head): examples.labels[head][rows] for head in Head},
        found,
        log_baselines(training_set, counted, moments, base_scores) if parts else {},
    )


def head_report(scored: ScoredRows, *, seed: int, n_resamples: int = N_RESAMPLES) -> dict[str, dict[str, Any]]:
    """Return, for every head, AUC, GAUC, log-loss and calibration error with their intervals by user, and counts.

    Of one that the bundle lacks there are the counts alone, and a note. Beside each stand the baselines, with the
    interval of by how much the head leads.
    """
    return {str(head): _one_head(scored, head, seed, n_resamples) for head in Head}


def slice_report(scored: ScoredRows, masks: Masks, *, seed: int) -> dict[str, dict[str, Any]]:
    """Return the same numbers per head and slice; a head that the bundle lacks has no slices."""
    users = scored.moments.user_ids
    found: dict[str, dict[str, Any]] = {str(head): {} for head in Head}
    for head, chances in scored.chances.items():
        found[head] = measure_slices(masks, scored.labels[head], chances, users, seed=seed)
    return found


def _one_head(scored: ScoredRows, head: Head, seed: int, n_resamples: int) -> dict[str, Any]:
    labels, chances, users = scored.labels[head], scored.chances.get(head), scored.moments.user_ids
    if chances is None:
        found = unmeasured(labels, users, note=f"the bundle has no head {head}; its model card says why.")
    else:
        found = head_numbers(labels, chances, users, seed=seed, n_resamples=n_resamples)
    baselines = {
        name: baseline_numbers(labels, chances, scores[head], users, seed=seed)
        for name, scores in scored.baselines.items()
    }
    return found | {"baselines": baselines}
