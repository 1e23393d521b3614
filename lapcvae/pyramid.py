"""The Laplacian pyramid: `b_0 = x`, `b_{k+1} = d(b_k)`, `h_k = b_k - u(b_{k+1})`, `h_K = b_K`.

`d` is the kernel [1 3 3 1]/8 with stride 2, `u` bilinear enlargement by 2 between cell centres, both with the edge
replicated. So a coarse cell lies exactly over its block of fine pixels, constants stay constants and flips commute;
a 5-tap kernel sampled at [::2] would sit half a block off. This module is the one definition for runtime, training
and export; `training.pyramid` has the same operations on torch tensors, and a test holds the two together.

Pictures are H x W x C arrays with even H and W; both operations are linear and separable, so they are products with
small matrices.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

KERNEL = (1 / 8, 3 / 8, 3 / 8, 1 / 8)


@lru_cache(maxsize=64)
def d_matrix(n: int) -> np.ndarray:
    """n/2 x n: one axis of `d`."""
    if n < 2 or n % 2:
        raise ValueError(f"d needs an even length of at least 2, not {n}")
    matrix = np.zeros((n // 2, n))
    for row in range(n // 2):
        for tap, weight in enumerate(KERNEL):
            matrix[row, min(max(2 * row + tap - 1, 0), n - 1)] += weight
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=64)
def u_matrix(n: int) -> np.ndarray:
    """2n x n: one axis of `u`."""
    matrix = np.zeros((2 * n, n))
    for row in range(2 * n):
        near = row // 2
        far = near + (1 if row % 2 else -1)
        matrix[row, near] += 0.75
        matrix[row, min(max(far, 0), n - 1)] += 0.25
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=64)
def reduce_matrix(n: int, levels: int) -> np.ndarray:
    """A, n / 2^levels x n: one axis of `d` composed `levels` times."""
    matrix = np.eye(n)
    for _ in range(levels):
        matrix = d_matrix(matrix.shape[0]) @ matrix
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=64)
def lift_matrix(m: int, levels: int) -> np.ndarray:
    """A+, n x m with n = m 2^levels: the pseudo-inverse of `reduce_matrix`."""
    matrix = np.linalg.pinv(reduce_matrix(m << levels, levels))
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=256)
def _as(dtype: str, make, *arguments: int) -> np.ndarray:
    """One of the matrices above in a picture's own type."""
    return make(*arguments).astype(dtype)


def _apply(make, picture: np.ndarray, *arguments: int) -> np.ndarray:
    """The matrix `make(length, *arguments)` along both axes of an H x W x C picture."""
    dtype = picture.dtype.str
    rows, columns = (_as(dtype, make, length, *arguments) for length in picture.shape[:2])
    planes = rows @ picture.transpose(2, 0, 1) @ columns.T
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def d(picture: np.ndarray) -> np.ndarray:
    """H x W x C -> H/2 x W/2 x C."""
    return _apply(d_matrix, picture)


def u(picture: np.ndarray) -> np.ndarray:
    """H x W x C -> 2H x 2W x C."""
    return _apply(u_matrix, picture)


def reduce(picture: np.ndarray, levels: int) -> np.ndarray:
    """`d` composed `levels` times: D(x) = A x A^T."""
    if levels == 0:
        return picture
    return _apply(reduce_matrix, picture, levels)


def enlarge(picture: np.ndarray, levels: int) -> np.ndarray:
    """`u` composed `levels` times."""
    for _ in range(levels):
        picture = u(picture)
    return picture


def block_mean(values: np.ndarray, block: int) -> np.ndarray:
    """The mean of each block of `block` x `block` values of a square, n x n -> n/block x n/block."""
    n = values.shape[0] // block
    return values.reshape(n, block, n, block).mean((1, 3))


def gaussians(picture: np.ndarray, levels: int) -> list[np.ndarray]:
    """[b_0, ..., b_K] with K = `levels`."""
    b = [picture]
    for _ in range(levels):
        b.append(d(b[-1]))
    return b


def decompose(picture: np.ndarray, levels: int) -> list[np.ndarray]:
    """[h_0, ..., h_K] with K = `levels`."""
    b = gaussians(picture, levels)
    return [b[k] - u(b[k + 1]) for k in range(levels)] + [b[levels]]


def collapse(h: list[np.ndarray]) -> np.ndarray:
    """The inverse of `decompose`."""
    x = h[-1]
    for h_k in reversed(h[:-1]):
        x = h_k + u(x)
    return x


def project(picture: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The smallest change to `picture` after which its reduced image is exactly `wanted`.

    `x += A+ (c - D(x)) A+^T`, with n x n x C `picture` and m x m x C `wanted`, n / m a power of two.
    """
    levels = (picture.shape[0] // wanted.shape[0]).bit_length() - 1
    if levels == 0:
        return wanted.copy()
    error = wanted - reduce(picture, levels)
    return picture + _apply(lift_matrix, error, levels)
