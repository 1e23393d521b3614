"""Pictures in groups by what can be measured on them: where a model is worse than on average.

For aligned portraits the middle of the picture is the face, so its light is about the skin's, and what differs between a
picture and its mirror image is a turned head, a hand or hair before the face, or light from one side. These are proxies:
they name no person's age, sex or origin, and a child is not told from an adult.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .metrics import luma

SHARE = 0.2
# Of each proxy, the name of its lowest and its highest fifth.
NAMES = {
    "light": ("darkest in the middle", "lightest in the middle"),
    "side": ("lit evenly from both sides", "lit from one side"),
    "asymmetry": ("most like their mirror image", "least like their mirror image (turned, something before the face)"),
    "detail": ("least fine detail", "most fine detail"),
}


def proxies(x: Tensor) -> dict[str, Tensor]:
    """Of N x 3 x S x S pictures in [0, 1]: one number each a picture, in grey levels of 255."""
    grey = 255 * luma(x)[:, 0]
    size = grey.shape[-1]
    # Cheeks and nose: eyes, hair and background are not in it.
    middle = grey[:, int(0.5 * size) : int(0.66 * size), int(0.3 * size) : size - int(0.3 * size)]
    third = middle.shape[-1] // 3
    side = (middle[..., :third].mean((1, 2)) - middle[..., -third:].mean((1, 2))).abs()
    face = grey[:, int(0.25 * size) : int(0.85 * size), int(0.2 * size) : size - int(0.2 * size)]
    # Light from one side is told by `side`: it is taken out here.
    flat = face - _mean_around(face, size // 8)
    return {
        "light": middle.mean((1, 2)), "side": side, "asymmetry": (flat - flat.flip(-1)).square().mean((1, 2)).sqrt(),
        "detail": (grey - _mean_around(grey, 1)).square().mean((1, 2)).sqrt(),
    }  # fmt: skip


def _mean_around(grey: Tensor, radius: int) -> Tensor:
    """Over (2 radius + 1)^2 pixels, N x H x W."""
    return F.avg_pool2d(grey[:, None], 2 * radius + 1, 1, radius, count_include_pad=False)[:, 0]


def extremes(values: Tensor) -> tuple[Tensor, Tensor]:
    """The indices of the lowest and of the highest fifth, at least one each."""
    order = values.argsort(stable=True)
    count = max(1, round(SHARE * len(values)))
    return order[:count], order[-count:]
