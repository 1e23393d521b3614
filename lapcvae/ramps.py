"""Smooth steps from 0 to 1."""

from __future__ import annotations

import numpy as np


def smooth(t):
    """From 0 at 0 and below to 1 at 1 and above, level at both."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def rises(values: np.ndarray, between: tuple[float, float]) -> np.ndarray:
    """Smoothly from 0 at the first number to 1 at the second."""
    return smooth((values - between[0]) / (between[1] - between[0]))
