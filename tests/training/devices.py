"""Marks of tests that a GPU runs too."""

from __future__ import annotations

from pathlib import Path

import pytest

on_gpu = pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="there is no NVIDIA GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=on_gpu)]
