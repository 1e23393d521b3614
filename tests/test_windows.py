"""Sums, means and maxima over windows."""

from __future__ import annotations

import numpy as np
import pytest

from lapcvae import noise, windows


def brute(values: np.ndarray, radius: int, over) -> np.ndarray:
    rows, columns = values.shape
    return np.array([
        [over(values[max(0, r - radius) : r + radius + 1, max(0, c - radius) : c + radius + 1]) for c in range(columns)]
        for r in range(rows)
    ])  # fmt: skip


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5, 8, 40])
@pytest.mark.parametrize("found, over", [
    (windows.window_sum, np.sum), (windows.window_mean, np.mean), (windows.window_max, np.max),
])  # fmt: skip
def test_windows_end_where_the_picture_ends(radius, found, over):
    values = noise.gaussian((17, 23), "windows", radius)
    assert np.allclose(found(values, radius), brute(values, radius, over), atol=1e-5)
