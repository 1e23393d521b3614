"""The energy score: a proper score for two samples and the truth, lowest in expectation when the samples vary as the
truth does (Gneiting and Raftery 2007, section 4.3).

The KL alone leaves a prior of independent cells too narrow in pixels: what many cells do together (move an edge) is more
than the sum of what each does. The score is taken on the pictures themselves, of patches and of means over them, so it
sees that; it pulls neither towards blur, as a mean squared error would, nor towards one sharp answer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

# Means over 1, 2 and 4 pixels: variety that is coherent over some distance counts by itself.
OCTAVES = 3
# The sides of the patches whose colours are compared together.
PATCHES = (1, 4)


def log_energy_score(first: torch.Tensor, second: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean over octaves and patch sizes of log(E|s - x| - E|s - s'| / 2), N x 3 x H x W each; a scalar.

    Each term is relative to its own size (the logarithm), so that fine detail counts as much as light and shade.
    """
    terms = []
    pictures = torch.cat([first - truth, second - truth, first - second])
    for octave in range(OCTAVES):
        if octave:
            pictures = F.avg_pool2d(pictures, 2)
        for side in PATCHES:
            if min(pictures.shape[-2:]) < side:
                continue
            a, b, apart = (d.mean() for d in _norms(pictures, side).chunk(3))
            terms.append(torch.log((0.5 * (a + b) - 0.5 * apart).clamp_min(1e-5)))
    return torch.stack(terms).mean()


def _norms(differences: torch.Tensor, side: int) -> torch.Tensor:
    """Root of the mean square over the colours of side x side patches, N x H/side x W/side."""
    squares = differences.square().mean(1, keepdim=True)
    if side > 1:
        squares = F.avg_pool2d(squares, side)
    # The root has no gradient at 0.
    return (squares + 1e-8).sqrt()
