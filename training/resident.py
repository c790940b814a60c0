"""Arrays held where a model learns from them, so that mini-batches are gathered there and not sent one by one.

On a CPU the tensors share the arrays' memory. A GPU takes them whole and as narrow as they are, where it has the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # noqa: TID253 - the module is nothing but torch; its readers import it inside functions
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253 - as above

GPU_SHARE = 0.5
"""Arrays that take more of a GPU's free memory than this stay in the host's: the model needs the rest."""


class Resident:
    """Arrays of one length; what is taken of them is on the device, integers as int64 and other numbers as float32."""

    def __init__(self, arrays: Sequence[NDArray[Any]], device: torch.device | str) -> None:
        self._device = torch.device(device)
        room = GPU_SHARE * torch.cuda.mem_get_info(self._device)[0] if self._device.type == "cuda" else 0.0
        self.place = self._device if sum(own.nbytes for own in arrays) <= room else torch.device("cpu")
        self._tensors = [torch.as_tensor(own, device=self.place) for own in arrays]

    def take(self, rows: NDArray[np.integer], width: int | None = None) -> tuple[Tensor, ...]:
        """Return rows of each array, in their order; of arrays [n, length] the last `width` columns."""
        where = torch.as_tensor(rows, device=self.place)
        taken = (own[where] if width is None else own[where, -width:] for own in self._tensors)
        return tuple(
            part.to(self._device, torch.float32 if part.is_floating_point() else torch.int64) for part in taken
        )
