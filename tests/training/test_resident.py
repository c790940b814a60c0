"""Arrays held where a model learns."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.devices import DEVICES, on_gpu


def arrays() -> tuple[np.ndarray, ...]:
    grid = np.arange(12, dtype=np.int8).reshape(4, 3)
    return grid, np.array([7, 8, 9, 10], dtype=np.int32), np.array([0.5, np.nan, 2.5, 3.5], dtype=np.float16)


@pytest.mark.parametrize("device", DEVICES)
def test_rows_come_in_the_order_asked_for_and_as_wide_numbers(device: str) -> None:
    import torch

    from training.resident import Resident

    grid, whole, parts = Resident(arrays(), device).take(np.array([2, 0, 2]))
    assert {own.device.type for own in (grid, whole, parts)} == {device}
    assert (grid.dtype, whole.dtype, parts.dtype) == (torch.int64, torch.int64, torch.float32)
    assert grid.tolist() == [[6, 7, 8], [0, 1, 2], [6, 7, 8]]
    assert (whole.tolist(), parts.tolist()) == ([9, 7, 9], [2.5, 0.5, 2.5])


def test_width_keeps_the_last_columns() -> None:
    from training.resident import Resident

    (newest,) = Resident(arrays()[:1], "cpu").take(np.array([0, 3]), 2)
    assert newest.tolist() == [[1, 2], [10, 11]]


@on_gpu
@pytest.mark.parametrize(("share", "place"), [(0.5, "cuda"), (0.0, "cpu")])
def test_what_a_gpu_has_no_room_for_stays_with_the_host(
    monkeypatch: pytest.MonkeyPatch, share: float, place: str
) -> None:
    from training import resident

    monkeypatch.setattr(resident, "GPU_SHARE", share)
    held = resident.Resident(arrays(), "cuda")
    assert held.place.type == place
    assert held.take(np.array([1]))[1].tolist() == [8]
    assert held.take(np.array([1]))[1].device.type == "cuda"
