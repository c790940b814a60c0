"""Scores of an ablation's parts, kept one by one: a run that was stopped goes on after the last part it finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recloop.labels import Head
from training.checkpoint import read_checkpoint, run_identity, write_checkpoint
from training.judging.baselines import Material
from training.judging.compare import Runs

Scored = tuple[Runs, dict[str, Any]]
"""The judged rows' scores of each seed, and what the first seed cost."""


@dataclass(frozen=True)
class KeptScores:
    """Keeps each part's scores in `folder`, for runs of this identity alone; without a folder nothing is kept."""

    folder: Path | None = None
    run: str = ""

    @classmethod
    def of(cls, folder: Path, material: Material, settings: Any) -> KeptScores:
        """Return what runs on this very material with these settings keep; `settings` are told apart by their repr."""
        rows = [(rows.matrix, *rows.labels.values(), rows.histories) for rows in (material.learned, material.judged)]
        return cls(folder, run_identity((*rows, material.vectors), settings))

    def scores(self, name: str, score: Callable[[], Scored]) -> Scored:
        """Return what was kept under the name, or else score and keep it."""
        if self.folder is None:
            return score()
        path = self.folder / f"{name.replace(',', '').replace(' ', '_')}.pt"
        state = read_checkpoint(path, self.run, "cpu")
        if state is not None:
            return {Head(head): [own.numpy() for own in runs] for head, runs in state["scores"].items()}, state["costs"]
        runs, costs = score()
        write_checkpoint(path, self.run, {"scores": _tensors(runs), "costs": costs})
        return runs, costs


def _tensors(runs: Runs) -> dict[str, Any]:
    import torch

    return {str(head): [torch.from_numpy(np.ascontiguousarray(own)) for own in scores] for head, scores in runs.items()}
