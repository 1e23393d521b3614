"""Seeded Gaussian noise, drawn outside the graphs: one seed, one picture.

NumPy guarantees Philox's raw stream, not what it makes of it, so the step from bits to a Gaussian is ours: Wichura's
inverse normal CDF (Algorithm AS 241, PPND16, relative accuracy about 1e-16).
"""

from __future__ import annotations

import hashlib

import numpy as np

# From the coarsest sampled level on, the power of the temperature that its latents are drawn with. Cells that disagree at
# 32 pixels are a distorted face, at 128 pixels they are texture: what is cooler than 1 is so at the coarse levels above all.
# On 48 real portraits, 16 -> 128 pixels: at .7 on all levels LPIPS-AlexNet is .122 to the truth and .048 between samples; at
# 1, 0.7 and 0.5 from fine to coarse .107 and .044; at 0.7, 0.49 and 0.34 .127 and .022.
_POWERS = (2.0, 1.0, 0.25)
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def _ratio(coefficients, r: np.ndarray) -> np.ndarray:
    return np.polyval(coefficients[0], r) / np.polyval(coefficients[1], r)


def inverse_normal_cdf(p: np.ndarray) -> np.ndarray:
    """The x with Phi(x) = p, for p in (0, 1), float64."""
    q = p - 0.5
    near = np.abs(q) <= 0.425
    centre = np.where(near, q, 0.0)
    x = centre * _ratio(_CENTRE, 0.180625 - centre * centre)
    r = np.sqrt(-np.log(np.where(near, 0.25, np.minimum(p, 1 - p))))
    tail = np.where(r <= 5, _ratio(_MIDDLE, r - 1.6), _ratio(_TAIL, r - 5))
    return np.where(near, x, np.copysign(tail, q))


def level_temperature(temperature: float, k: int, K: int) -> float:
    """What eps of level k (0 to K - 1) is multiplied with, for a temperature of 0 or more; above 1 all levels alike."""
    return temperature if temperature >= 1 else temperature ** _POWERS[min(K - 1 - k, len(_POWERS) - 1)]


def gaussian(shape: tuple[int, ...], *key: int | str) -> np.ndarray:
    """N(0, 1) float32 numbers that depend on `key` (seed, variant, level, group ...) and their place alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    philox = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    raw = philox.random_raw(int(np.prod(shape, dtype=np.int64)))
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return inverse_normal_cdf(uniform).astype(np.float32).reshape(shape)
