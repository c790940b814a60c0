"""A model checkpoint: one file, whole or not there, that only the run which wrote it goes on from.

Written by `torch.save` and read with `weights_only`, so that reading runs no code of the file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

LOG = logging.getLogger(__name__)

FORMAT = 2
"""Of what the trainers keep: another one where a name, a shape or its meaning changes. A file that has none has 1."""


def checkpoints_of(result: Path) -> Path:
    """Return the folder beside a result in which what its run has so far is kept, until the result is whole."""
    return result.with_name(f"{result.name}.checkpoints")


def run_identity(data: Iterable[Any], settings: Any) -> str:
    """Return a hash of every array of the data and of all settings: two runs with one identity end alike."""
    digest = blake2b(repr(settings).encode(), digest_size=16)
    for array in _arrays(data):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def broken_weights(model: torch.nn.Module) -> str | None:
    """Return the name of the first weights that are no numbers; no loss has seen what a last step made of them."""
    import torch

    return next((name for name, own in model.named_parameters() if not bool(torch.isfinite(own).all())), None)


def write_checkpoint(path: Path, run: str, state: dict[str, Any]) -> None:
    """Replace the file at once: a process that dies here leaves the old one."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
    with aside.open("wb") as file:
        torch.save({"format": FORMAT, "run": run, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def read_checkpoint(path: Path, run: str, device: str) -> dict[str, Any] | None:
    """Return what a run wrote; None where there is no file, or one of another run or format: it is then overwritten."""
    import torch

    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        LOG.warning("checkpoint %s cannot be read (%s); training starts anew", path, error)
        return None
    if (found := state.get("format", 1)) != FORMAT:
        LOG.warning("checkpoint %s has format %s, this code reads %d; training starts anew", path, found, FORMAT)
        return None
    if state.get("run") != run:
        LOG.warning("checkpoint %s is of a run with other data or settings; training starts anew", path)
        return None
    return state


def _arrays(part: Any) -> Iterable[np.ndarray[Any, Any]]:
    if isinstance(part, np.ndarray):
        yield part
    elif is_dataclass(part):
        for field in fields(part):
            yield from _arrays(getattr(part, field.name))
    elif isinstance(part, tuple):
        for own in part:
            yield from _arrays(own)
