"""What each part of the ranking matrix is worth to a bundle as it is: its columns are shuffled among the rows.

Permutation importance (Breiman 2001, section 10) of groups of columns, cheap enough for every training;
`training.ablate` trains anew without the part, which also tells what other parts would take over. A ranker reads the
shuffled columns too; what it knows beside the matrix, the history and the candidate, stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from recloop.head_metrics import auc, grouped_auc
from recloop.labels import Head
from recloop.ranker import RANKER_COLUMNS, tree_columns
from recloop.ranking import Matrix
from recloop.recommender import Recommender
from training.data.dataset import Ints, TrainingSet
from training.judging.tree_variants import FULL, VARIANTS
from training.stacking.rows import Rows, example_rows, with_ranker

MAX_ROWS = 5_000
GROUPS = {name.removeprefix("no "): left_out for name, left_out in VARIANTS.items() if name != FULL}
GROUPS["ranker"] = lambda name: name in RANKER_COLUMNS


def part_report(
    recommender: Recommender, training_set: TrainingSet, rows: Ints, *, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Return, per part that the bundle has and head, the loss of AUC and GAUC when its columns say nothing.

    Measured on at most MAX_ROWS of the rows, evenly spread; a number that is not defined is left out.
    """
    rows = rows[:: max(1, -(-len(rows) // MAX_ROWS))]
    if not len(rows):
        return {}
    table = example_rows(training_set, recommender, recommender.vocabularies, rows)
    users, generator = table.user_ids, np.random.default_rng(seed)
    whole = recommender.predict(table.matrix)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, belongs in GROUPS.items():
        columns = [place for place, column in enumerate(recommender.manifest.ranking_features) if belongs(column)]
        if not columns:
            continue
        order = generator.permutation(len(table))
        found[name] = {}
        for head, chances in recommender.predict(
            shuffled_matrix(recommender, training_set, table, columns, order)
        ).items():
            labels = table.labels[Head(head)]
            lost: dict[str, Any] = {
                "auc": auc(labels, whole[head]) - auc(labels, chances),
                "gauc": grouped_auc(labels, whole[head], users) - grouped_auc(labels, chances, users),
            }
            found[name][str(head)] = {metric: float(value) for metric, value in lost.items() if not np.isnan(value)}
    return found


def shuffled_matrix(
    recommender: Recommender, training_set: TrainingSet, table: Rows, columns: list[int], order: Ints
) -> Matrix:
    """Return the matrix with some columns in another order of the rows, and the ranker's word on what they now say."""
    matrix = table.matrix.copy()
    matrix[:, columns] = matrix[order][:, columns]
    n_before = len(tree_columns(recommender.manifest.ranking_features))
    if recommender.ranker is None or columns[0] >= n_before:
        return matrix
    return with_ranker(recommender, training_set.items, replace(table, matrix=matrix[:, :n_before])).matrix
