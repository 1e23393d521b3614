"""Toy models, pictures and runs for the tests of training, evaluation and export. Importing it needs torch."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training import config, data
from training.config import Group, Level, Mix, Model, Optimisation, Preset, grid
from training.loop import Run
from training.model import Draw, LapCVAE

SIZE = 16
BATCH = 4
STILL = config.Augmentation(False, 0, 0, 0, 0, 0, 0)

# Levels of 16, 8 and 4 pixels, with both kinds of groups.
TOY = Model(
    SIZE,
    (
        Level(2, (8, 8), (1, 1), (grid(2, 4), grid(2, 2)), gain=0.1),
        Level(1, (8, 8, 8), (1, 1, 1), (Group("global", 3), grid(2, 2)), gain=0.2),
        Level(1, (8, 8), (1, 1), (Group("global", 4), grid(3, 2))),
    ),
)
# A local level of 32 pixels above them.
LARGER = Model(2 * SIZE, (Level(2, (8, 8), (1, 1), (grid(2, 4), grid(2, 2)), gain=0.1), *TOY.levels))
PAPER = config.paper(SIZE, levels=3, latents=4)
# Level 0 is large enough to be exported for any height and width.
TOY_64 = Model(
    64, (Level(2, (8, 8), (1, 1), (grid(2, 4), grid(2, 2)), gain=0.1), Level(2, (8, 8), (1, 1), (grid(2, 4),)))
)


def preset(model: Model = TOY, steps: int = 6, mix: Mix | None = None, **optimisation) -> Preset:
    settings = dict(images=steps * BATCH, batch=BATCH, warm_up_images=0, kl_warm_up_images=0, learning_rate=1e-3)
    return Preset("toy", model, mix or Mix(), Optimisation(**(settings | optimisation)))


def run(folder: Path, out: Path, recipe: Preset | None = None, **changes) -> Run:
    # One thread: sums in another order would be other numbers.
    return Run(recipe or preset(), folder, out, threads=1, **changes)


def alive(net: LapCVAE, seed: int = 0) -> LapCVAE:
    """Weights that make latents and priors matter; as initialised, they hardly do."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            fan = max(1, parameter[0].numel())
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.8 / fan) ** 0.5)
    return net.eval()


def squares(count: int, side: int = 2 * SIZE) -> list[np.ndarray]:
    """Smooth random pictures, side x side x 3 uint8."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(s).resize((side, side), Image.Resampling.BICUBIC)) for s in small]


def names(split: str):
    """File names of that split, without end."""
    return (n for n in (f"{i:04d}.png" for i in itertools.count()) if data._split_of(n) == split)


def folder_of(path: Path, train: int = 8, val: int = 1, test: int = 0) -> Path:
    path.mkdir(parents=True)
    for count, split in ((train, "train"), (val, "val"), (test, "test")):
        for square, name in zip(squares(count), names(split)):
            Image.fromarray(square).save(path / name)
    return path


class Recorded(Draw):
    """z = the prior's mean; keeps the priors."""

    def __init__(self):
        self.priors = []

    def __call__(self, index, prior):
        self.priors.append(prior)
        return prior.mu
