"""A short training that many tests start, stop, change or compare with."""

from __future__ import annotations

SHORT = ("data.repeat=20", "train.checkpoints.every=5")
"""Overrides of the tiny recipe."""
ITERATIONS = 20
WEIGHTS = f"iter_{ITERATIONS}_weights.pth"
PAIR = ("--weights", "models/m", "--data", "data/d")
