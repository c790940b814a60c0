"""Marks of tests that ask whether there is a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

HAS_GPU = Path("/dev/nvidiactl").exists()
on_gpu = pytest.mark.skipif(not HAS_GPU, reason="there is no NVIDIA GPU")
without_gpu = pytest.mark.skipif(HAS_GPU, reason="there is an NVIDIA GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=on_gpu)]
