"""Sums, means and maxima over square windows around every pixel, and values between pixels."""

from __future__ import annotations

import numpy as np


def window_sum(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over (2 radius + 1)^2 neighbours, S x S; 0 beyond."""
    for axis in (0, 1):
        widths = [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)]
        total = np.cumsum(np.pad(values.astype(np.float64), widths), axis=axis)
        n = values.shape[axis]
        values = np.take(total, np.arange(n) + 2 * radius + 1, axis) - np.take(total, np.arange(n), axis)
    return values


def window_mean(values: np.ndarray, radius: int) -> np.ndarray:
    """Of (2 radius + 1)^2 neighbours, S x S, of those that there are."""
    rows, columns = (np.minimum(np.arange(n) + radius + 1, n) - np.maximum(np.arange(n) - radius, 0) for n in values.shape)
    return window_sum(values, radius) / np.outer(rows, columns)


def window_max(values: np.ndarray, radius: int) -> np.ndarray:
    """The largest of (2 radius + 1)^2 neighbours, S x S."""
    for axis in (0, 1):
        done = 0
        while done < radius:
            # Windows that overlap: each round at most doubles what is seen.
            step = min(radius - done, done + 1)
            padded = np.pad(values, [(step, step) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            n = values.shape[axis]
            parts = [np.take(padded, np.arange(n) + offset, axis) for offset in (0, step, 2 * step)]
            values = np.maximum(np.maximum(parts[0], parts[1]), parts[2])
            done += step
    return values


def closed(values: np.ndarray, radius: int) -> np.ndarray:
    """S x S, without gaps that are narrower than 2 radius + 1 pixels."""
    padded = np.pad(values, 2 * radius)
    return -window_max(-window_max(padded, radius), radius)[2 * radius : -2 * radius, 2 * radius : -2 * radius]


def bilinear(pictures: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """N x H x W x C at points, N x h x w each, in pixels from the middle of the first one; beyond the edge the edge."""
    count, height, width, channels = pictures.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[..., None].astype(np.float32), (y - top)[..., None].astype(np.float32)
    flat, first = pictures.reshape(-1, channels), np.arange(count)[:, None, None] * (height * width)
    upper, lower = (
        flat[first + row * width + left] * (1 - fx) + flat[first + row * width + right] * fx for row in (top, bottom)
    )
    return upper * (1 - fy) + lower * fy
