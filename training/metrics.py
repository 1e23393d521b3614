"""Measures of pictures: pure functions of N x C x H x W float tensors in [0, 1], computed in float32.

Per-picture measures return N values; `mean_ci` turns any list of values into a mean with its uncertainty. Tensors whose
shapes differ raise ValueError: broadcasting would silently compare the wrong pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-R BT.601 luma, applied to the pictures' own (gamma-coded) values.
LUMA = (0.299, 0.587, 0.114)
# 97.5th percentile of the normal distribution.
Z_95 = 1.959963984540054


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 4 or a.shape != b.shape:
        raise ValueError(f"Two N x C x H x W tensors of one shape are needed, not {tuple(a.shape)}, {tuple(b.shape)}.")
    return a.float(), b.float()


def luma(x: Tensor) -> Tensor:
    """N x 1 x H x W luma (BT.601) of N x 3 x H x W RGB; one channel is passed through."""
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"N x 3 x H x W or N x 1 x H x W is needed, not {tuple(x.shape)}.")
    x = x.float()
    return x if x.shape[1] == 1 else (x * x.new_tensor(LUMA)[None, :, None, None]).sum(1, keepdim=True)


def mse255(a: Tensor, b: Tensor) -> Tensor:
    """N mean squared errors over all pixels and channels, on the [0, 255] scale: 255^2 mean (a - b)^2."""
    a, b = _pair(a, b)
    return (255 * (a - b)).square().mean((1, 2, 3))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """N peak signal-to-noise ratios in dB: 10 log10(1 / mean (a - b)^2). Equal pictures give inf."""
    return -10 * torch.log10(mse255(a, b) / 255**2)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """N structural similarities (Wang, Bovik, Sheikh and Simoncelli 2004); 1 = equal.

    With local means mu, variances s and covariance s_ab under an 11 x 11 Gaussian window (sigma 1.5, sums to 1),

        ((2 mu_a mu_b + C1) (2 s_ab + C2)) / ((mu_a^2 + mu_b^2 + C1) (s_a + s_b + C2)),

    C1 = .01^2, C2 = .03^2 (K1 = .01, K2 = .03, peak 1), averaged over the places where the window lies wholly inside
    the picture (no padding), then over the colour channels. At the full resolution: no automatic shrinking. Sides of
    at least 11 pixels, else ValueError.
    """
    a, b = _pair(a, b)
    n, c, height, width = a.shape
    if min(height, width) < 11:
        raise ValueError(f"SSIM needs pictures of at least 11 x 11 pixels, not {width} x {height}.")
    x = torch.arange(11, dtype=torch.float32, device=a.device) - 5
    window = torch.exp(-x.square() / (2 * 1.5**2))
    window = window / window.sum()

    def local_mean(t: Tensor) -> Tensor:
        t = t.reshape(n * c, 1, height, width)
        return F.conv2d(F.conv2d(t, window.view(1, 1, 11, 1)), window.view(1, 1, 1, 11))

    mu_a, mu_b = local_mean(a), local_mean(b)
    s_a = local_mean(a * a) - mu_a.square()
    s_b = local_mean(b * b) - mu_b.square()
    s_ab = local_mean(a * b) - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mu_a * mu_b + c1) * (2 * s_ab + c2)) / ((mu_a**2 + mu_b**2 + c1) * (s_a + s_b + c2))
    return similarity.reshape(n, -1).mean(1)


def sharpness_ratio(a: Tensor, b: Tensor) -> Tensor:
    """N ratios var(Laplacian(luma a)) / var(Laplacian(luma b)): 1 = as sharp as b, below 1 = blurred.

    The Laplacian is the 4-neighbour one, without padding. A picture b without any detail gives inf or nan.
    """
    a, b = _pair(a, b)

    def detail(x: Tensor) -> Tensor:
        kernel = x.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
        return F.conv2d(luma(x), kernel[None, None]).flatten(1).var(1, unbiased=False)

    return detail(a) / detail(b)


def octaves(height: int, width: int) -> int:
    """How many octaves `power_spectrum_octaves` tells apart: down to two periods across the shorter side."""
    return max(0, int(math.log2(min(height, width))) - 2)


def power_spectrum_octaves(a: Tensor, b: Tensor) -> Tensor:
    """N x O differences in dB, 10 log10(P_a / P_b), octave by octave of radial frequency, finest first.

    P is the mean power |FFT|^2 of the luma (mean removed, Hann window against the wrap-around at the edges) over the
    frequencies f = |(f_x, f_y)| in cycles per pixel with 2^-(o+2) < f <= 2^-(o+1), so that octave 0 ends at the Nyquist
    frequency whatever the size; corners beyond it are left out. O = floor(log2(shorter side)) - 2: below, too few
    frequencies are left to average. 0 = as much power as b; -6.02 = half the amplitude. Average over pictures with
    `mean_ci`. Power below that of 8-bit rounding by 60 dB counts as that much, so that flat pictures give numbers.
    """
    a, b = _pair(a, b)
    height, width = a.shape[2:]
    count = octaves(height, width)
    if count < 1:
        raise ValueError(f"The spectrum needs pictures of at least 8 x 8 pixels, not {width} x {height}.")
    window = torch.outer(torch.hann_window(height, device=a.device), torch.hann_window(width, device=a.device))
    f = torch.hypot(
        torch.fft.fftfreq(height, device=a.device)[:, None], torch.fft.rfftfreq(width, device=a.device)[None, :]
    )
    floor = (1 / 255) ** 2 / 12 * window.square().sum() * 1e-6

    def power(x: Tensor) -> Tensor:
        x = luma(x)
        spectrum = torch.fft.rfft2((x - x.mean((2, 3), keepdim=True)) * window).abs().square()[:, 0]
        rings = [(f > 2.0 ** -(o + 2)) & (f <= 2.0 ** -(o + 1)) for o in range(count)]
        return torch.stack([spectrum[:, ring].mean(1) for ring in rings], 1).clamp_min(floor)

    return 10 * torch.log10(power(a) / power(b))


def calibration(samples_s: Tensor, samples_s2: Tensor, truth: Tensor) -> float:
    """C = E|s - s'|^2 / E|s - x|^2: do a model's samples vary as much as the truth does?

    `samples_s` and `samples_s2` are two independent samples for each condition, `truth` the picture that the condition
    came from. If x were itself a sample from the model, C would be 1; below 1 the samples vary too little for their
    error (a deterministic prediction gives 0), above 1 too much. A ratio of means over all N, not a mean of ratios;
    inf or nan if every sample equals the truth.
    """
    s, s2 = _pair(samples_s, samples_s2)
    s, x = _pair(s, truth)
    return float((s - s2).square().mean() / (s - x).square().mean())


def consistency(coarse: Tensor, wanted: Tensor) -> Tensor:
    """N mean absolute differences, in grey levels (of 255), between a sample's coarse image and the wanted one.

    Both at the coarse size: `coarse` is the sample after the pyramid's `d`, as often as the wanted level is deep.
    """
    coarse, wanted = _pair(coarse, wanted)
    return 255 * (coarse - wanted).abs().mean((1, 2, 3))


@dataclass(frozen=True)
class Mean:
    """A mean of n values and half the width of its 95% confidence interval (nan for a single value)."""

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.half_width:.2g} (n={self.n})"


def mean_ci(values: Tensor | Iterable[float]) -> Mean:
    """Mean and 95% confidence interval by the normal approximation: 1.96 s / sqrt(n), s with n - 1. For n of 30 and up.

    No values: ValueError.
    """
    x = torch.as_tensor(values if isinstance(values, Tensor) else list(values), dtype=torch.float64).flatten()
    n = x.numel()
    if n == 0:
        raise ValueError("There is nothing to take the mean of.")
    half_width = Z_95 * float(x.std(unbiased=True)) / math.sqrt(n) if n > 1 else math.nan
    return Mean(float(x.mean()), half_width, n)
