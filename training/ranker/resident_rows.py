"""Ranker rows held where the model is, and mini-batches of them: each history once, padded to the longest of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253 - as above

from training.ranker.rows import RankerRows
from training.resident import Resident


class Batch(NamedTuple):
    """Rows as `RankerModel.encode` and then `.score` take them, the user of each and the labels."""

    histories: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    users: Tensor
    labels: Tensor


class ResidentRows:
    """Rows on a device."""

    def __init__(self, rows: RankerRows, device: torch.device | str) -> None:
        self._request, self.lengths = rows.request, rows.histories.lengths
        self._histories, self._rows = Resident(rows.histories.parts, device), Resident(rows.per_row, device)
        self._device = device

    def take(self, rows: NDArray[np.integer]) -> Batch:
        """Return some rows."""
        requests, request = np.unique(self._request[rows], return_inverse=True)
        histories = self._histories.take(requests, max(1, int(self.lengths[requests].max(initial=0))))
        users, *others, labels = self._rows.take(rows)
        return Batch(histories, (torch.as_tensor(request, device=self._device), *others), users, labels)
