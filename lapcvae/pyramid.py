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
def lift_matrix(n: int, levels: int) -> np.ndarray:
    """A+, n x n / 2^levels: the pseudo-inverse of `reduce_matrix`."""
    matrix = np.linalg.pinv(reduce_matrix(n, levels))
    matrix.flags.writeable = False
    return matrix


def _apply(rows: np.ndarray, picture: np.ndarray, columns: np.ndarray) -> np.ndarray:
    dtype = picture.dtype
    rows, columns = rows.astype(dtype, copy=False), columns.astype(dtype, copy=False)
    # rows @ picture over axis 0, columns over axis 1, channels untouched.
    out = np.tensordot(rows, picture, axes=(1, 0))
    return np.ascontiguousarray(np.einsum("ij,ajc->aic", columns, out, optimize=True))


def d(picture: np.ndarray) -> np.ndarray:
    """H x W x C -> H/2 x W/2 x C."""
    return _apply(d_matrix(picture.shape[0]), picture, d_matrix(picture.shape[1]))


def u(picture: np.ndarray) -> np.ndarray:
    """H x W x C -> 2H x 2W x C."""
    return _apply(u_matrix(picture.shape[0]), picture, u_matrix(picture.shape[1]))


def reduce(picture: np.ndarray, levels: int) -> np.ndarray:
    """`d` composed `levels` times: D(x) = A x A^T."""
    if levels == 0:
        return picture
    return _apply(
        reduce_matrix(picture.shape[0], levels), picture, reduce_matrix(picture.shape[1], levels)
    )


def enlarge(picture: np.ndarray, levels: int) -> np.ndarray:
    """`u` composed `levels` times."""
    for _ in range(levels):
        picture = u(picture)
    return picture


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
    return picture + _apply(
        lift_matrix(picture.shape[0], levels), error, lift_matrix(picture.shape[1], levels)
    )
