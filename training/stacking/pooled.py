"""The ranker beside the trees: each form checked on the rows that chose the trees' plan, one then trained on all.

In: rows, oldest first, and the plan of their stack. Out: the plan with a ranker, and the ranker of a bundle.
What is pooled to be checked, the ranker learned from the rows before, as the trees did; how the two are pooled is
`recloop.ranker.pool`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recloop.labels import Head
from recloop.ranker import Ranker, RankerInputs, pool
from recloop.ranking import Items, Vocabularies
from recloop.settings import Settings
from training.ranker.rows import Fusion, RankerShape
from training.ranker.scoring import torch_score
from training.ranker.trainer import RankerResult
from training.retrieval.sequence import choose_device
from training.stacking.ranker_rows import item_table, ranker_rows
from training.stacking.rows import Rows
from training.stacking.stack import Stack, calibration_rows, fit_curve, split_rows

if TYPE_CHECKING:
    from training.ranker.model import RankerModel

RANKER_FORMS: Mapping[str, RankerShape] = {
    "mean": RankerShape(use_transformer=False),
    "transformer": RankerShape(),
}
"""How a ranker reads the last actions, the lightest first; a setting names them."""


def ranker_forms(settings: Settings) -> dict[str, RankerShape]:
    """Return the forms that the settings want checked, the lightest first; not for the setting `off`."""
    names = RANKER_FORMS if settings.ranker == "auto" else (settings.ranker,)
    return {name: replace(RANKER_FORMS[name], fusion=Fusion(settings.fusion)) for name in names}


class PooledRanker:
    """The ranker of one stack: asked what each form adds first, then for the last of one that is worth it."""

    def __init__(
        self,
        rows: Rows,
        *,
        names: Sequence[str],
        vocabularies: Vocabularies,
        items: Items,
        vectors: NDArray[np.float32],
        epochs: int,
        seed: int,
        device: str,
        forms: Mapping[str, RankerShape] = RANKER_FORMS,
        checkpoints: Path | None = None,
    ) -> None:
        """Take the rows apart.

        Args:
            rows: with all columns of `names`, oldest first.
            names: of the columns.
            vocabularies: codes of the categorical columns.
            items: the catalogue.
            vectors: of the base models, [items, d].
            epochs: most of the training that is checked; the rows that check it choose among them.
            seed: of all chance.
            device: `auto`, `cpu` or `cuda`.
            forms: to check, the lightest first.
            checkpoints: folder for one model checkpoint per training.
        """
        self._rows, self._inputs = rows, RankerInputs(names, vocabularies)
        self._learned, self._table = ranker_rows(rows, self._inputs), item_table(items, vectors)
        self.forms, self._epochs, self._seed, self.device = forms, epochs, seed, choose_device(device)
        self._checkpoints = checkpoints
        self.results: list[RankerResult] = []

    def check(self, stack: Stack, form: str) -> Stack:
        """Return a planned stack with what it and a form of the ranker say of the rows that check, calibrated as one.

        Raises:
            TrainingError: the loss stopped being a number.
        """
        training, validation = split_rows(self._rows)
        result = self._train(form, len(training), len(self._rows), self._epochs)
        ranker = Ranker(self._inputs, torch_score(result.model))
        logits = ranker.columns(validation.matrix, validation.histories, validation.request, validation.moments.items)
        checked = {head: pool(trees, logits[:, list(Head).index(head)]) for head, trees in stack.checked.items()}
        curves = {}
        for head, chances in checked.items():
            truth, raw = calibration_rows(validation, head, chances)
            curves[head] = fit_curve(raw, truth)
        return replace(stack, checked=checked, curves=curves)

    def train_last(self, form: str, epochs: int) -> RankerModel:
        """Return the ranker of a form that learned from all rows.

        Raises:
            TrainingError: the loss stopped being a number.
        """
        return self._train(form, len(self._rows), len(self._rows), epochs).model

    def _train(self, form: str, first: int, last: int, epochs: int) -> RankerResult:
        """Train on the rows before `first` and validate on those from there to `last`, if there are any."""
        from training.ranker.processes import train_together

        file = None if self._checkpoints is None else self._checkpoints / f"ranker-{len(self.results)}.pt"
        result = train_together(
            self._learned.take(np.arange(first)), self._learned.take(np.arange(first, last)) if first < last else None,
            self.forms[form], items=self._table, epochs=epochs, seed=self._seed, device=self.device, checkpoint=file,
        )  # fmt: skip
        self.results.append(result)
        return result
