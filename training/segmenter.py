"""A segmenter learnt from labelled pictures: `python -m training segmenter`.

It says of every pixel what it is of (`lapcvae.segments`). Labels come from `training.labels`. Photos differ from made faces
in light, sharpness and framing, and people wear what hardly any of these wears, so all of that is varied, and glasses, hats
and things that are nothing are drawn on them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.segments import BACKGROUND, CLASSES, SIZE

from . import checkpoint, corrupt, data, draws, labels, objects, running
from .segmenter_network import Segmenter

WEIGHTS = "segmenter.safetensors"
# A label that is not asked for.
UNKNOWN = 255
# How far pictures are turned (degrees), scaled (log), moved (shares of the side).
TURN, SCALE, SHIFT = 14.0, 0.16, 0.06
# Shares of the pictures: with glasses, hats, things drawn on them, another background, gray, blurred, coarse, grainy.
GLASSES, HATS, THINGS, ELSEWHERE, GRAY, BLURRED, COARSE, GRAINY = 0.12, 0.1, 0.25, 0.2, 0.12, 0.25, 0.2, 0.3
# The share with each of two things in its background.
STANDING = 0.3
# What changes more than this (full scale 1) when glasses or a hat are drawn belongs to them: more than their shadow does.
DRAWN = 0.02
# Rare classes weigh more: 1 over this power of their share, in relation to all.
RARE = 0.4


@dataclass(frozen=True)
class Run:
    """Where a run reads and writes, and how long it is."""

    data: Path
    labels: Path
    out: Path
    images: int = 114_000
    batch: int = 24
    learning_rate: float = 2e-3
    seed: int = 0
    checkpoint_minutes: float = 3.0
    threads: int = 0


@dataclass(frozen=True)
class Labelled:
    """`pictures` and, for each, a label a pixel: `of`, N x n x n u1, UNKNOWN where there is none."""

    pictures: data.Pictures
    of: np.ndarray

    def __len__(self) -> int:
        return len(self.of)


def load_labelled(run: Run, split: str) -> Labelled:
    pictures = data.load(run.data, split, SIZE, run.out / "cache")
    names = [source.name for source in data.sources(run.data) if source.split == split]
    if len(names) != len(pictures):
        raise LapcvaeError(f"Not all pictures of {run.data} can be read.", "Labels belong to made faces: make them again.")
    found = labels.read(run.labels, names)
    known = [i for i, label in enumerate(found) if label is not None]
    if not known:
        raise LapcvaeError(f"{run.labels} has no labels for {run.data}.", "Make them: python -m training labels")
    array = pictures.array
    if len(known) < len(array):
        array = array[known]
    return Labelled(data.Pictures(array, ()), np.stack([found[i] for i in known]))


def batch_of(labelled: Labelled, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` pictures as people take them, N x 3 x n x n in [0, 1], and their labels, N x n x n."""
    index = draws.integers(len(labelled), (count,), generator)
    x = labelled.pictures[index]
    of = torch.from_numpy(labelled.of[index.numpy()].astype(np.int64))
    x, of = _worn(x, of, objects.glasses, CLASSES.index("glasses"), GLASSES, generator)
    x, of = _worn(x, of, objects.hats, CLASSES.index("hat"), HATS, generator)
    x, of = _elsewhere(x, of, generator)
    x, of = _things(x, of, generator)
    x, of = _moved(x, of, generator)
    return _photographed(x, generator), of


def _some(share: float, count: int, generator: torch.Generator) -> torch.Tensor:
    return draws.uniform((count, 1, 1, 1), generator) < share


def _worn(x, of, draw, label: int, share: float, generator):
    """With something drawn on some, which is then of that class."""
    chosen = _some(share, len(x), generator).flatten().nonzero().flatten()
    if not len(chosen):
        return x, of
    # On black and on white: what is the same on both is covered, its shadow is not.
    state = generator.get_state()
    drawn = draw(x[chosen], generator)
    end = generator.get_state()
    on = []
    for ground in (0.0, 1.0):
        generator.set_state(state)
        on.append(draw(torch.full_like(x[chosen], ground), generator))
    generator.set_state(end)
    covered = 1 - (on[1] - on[0]).mean(1)
    there = covered > 0.5
    if label == CLASSES.index("glasses"):
        # A clear lens is of the glasses, too.
        there |= on[0].mean(1) > DRAWN
    x, of = x.clone(), of.clone()
    x[chosen] = drawn
    of[chosen] = torch.where(there, label, of[chosen])
    return x, of


def _elsewhere(x, of, generator):
    """Some before another background, plain, shaded or in stripes, and with things in it."""
    count, _, n, _ = x.shape
    cells = F.interpolate(draws.uniform((count, 3, 3, 3), generator), size=(n, n), mode="bilinear", align_corners=False)
    plain = draws.uniform((count, 3, 1, 1), generator)
    shaded = plain + draws.uniform((count, 1, 1, 1), generator, 0, 0.6) * (cells - 0.5)
    at = torch.arange(n) / n
    angle = draws.uniform((count, 1, 1, 1), generator, 0, 3.14)
    along = at * torch.cos(angle) + at[:, None] * torch.sin(angle)
    wave = torch.sin(along * draws.uniform((count, 1, 1, 1), generator, 20, 90)).sign() * _some(0.3, count, generator)
    ground = (shaded + 0.2 * wave * (cells - 0.5)).clamp(0, 1)
    matte = (of == CLASSES.index(BACKGROUND)).float()[:, None]
    matte = F.avg_pool2d(F.pad(matte, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = x + matte * _some(ELSEWHERE, count, generator) * (ground - x)
    # Posts, rails, lamps: what stands there is background.
    for _ in range(2):
        bar = ((along - draws.uniform((count, 1, 1, 1), generator, -0.5, 1.5)).abs() < draws.uniform(
            (count, 1, 1, 1), generator, 0.01, 0.06)).float()  # fmt: skip
        stands = torch.where(_some(0.6, count, generator), bar, corrupt.capsules(count, n, generator, "cpu"))
        colour = (draws.uniform((count, 3, 1, 1), generator) + 0.3 * (cells - 0.5)).clamp(0, 1)
        x = x + matte * stands * _some(STANDING, count, generator) * (colour - x)
        angle = angle + draws.uniform((count, 1, 1, 1), generator, 0, 3.14)
        along = at * torch.cos(angle) + at[:, None] * torch.sin(angle)
    return x, of


def _things(x, of, generator):
    """Before some a thing of no class: a hand, a microphone."""
    count, _, n, _ = x.shape
    cover = corrupt.capsules(count, n, generator, "cpu") * _some(THINGS, count, generator)
    texture = F.interpolate(draws.uniform((count, 3, 8, 8), generator), size=(n, n), mode="bilinear", align_corners=False)
    colour = (draws.uniform((count, 3, 1, 1), generator) + 0.4 * (texture - 0.5)).clamp(0, 1)
    return x + cover * (colour - x), torch.where(cover[:, 0] > 0.3, UNKNOWN, of)


def _moved(x, of, generator):
    count = len(x)

    def reach(width: float) -> torch.Tensor:
        return draws.uniform((count,), generator, -width, width)

    angle, scale = torch.deg2rad(reach(TURN)), torch.exp(reach(SCALE))
    flip = torch.where(draws.uniform((count,), generator) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    dx, dy = 2 * reach(SHIFT), 2 * reach(SHIFT)
    theta = torch.stack([torch.stack([cos * flip, -sin, dx], 1), torch.stack([sin * flip, cos, dy], 1)], 1)
    at = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, at, mode="bilinear", padding_mode="border", align_corners=False)
    of = F.grid_sample(of[:, None].float(), at, mode="nearest", padding_mode="border", align_corners=False)
    return x, of[:, 0].round().long()


def _photographed(x, generator):
    """In other light, by other cameras."""
    count, _, n, _ = x.shape

    def some(low: float, high: float, channels: int = 1) -> torch.Tensor:
        return draws.uniform((count, channels, 1, 1), generator, low, high)

    x = x.clamp_min(1e-4) ** torch.exp(some(-0.5, 0.5)) * torch.exp(some(-0.15, 0.15, 3))
    # Light from a side.
    at = torch.linspace(-1, 1, n)
    x = x * (1 + some(-0.3, 0.3) * at + some(-0.3, 0.3) * at[:, None])
    mean = x.mean((1, 2, 3), keepdim=True)
    x = ((x - mean) * torch.exp(some(-0.4, 0.3)) + mean + some(-0.1, 0.1)).clamp(0, 1)
    x = torch.where(_some(GRAY, count, generator), x.mean(1, keepdim=True), x)
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = torch.where(_some(BLURRED, count, generator), soft, x + some(0, 0.6) * (x - soft))
    large = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
    x = torch.where(_some(COARSE, count, generator), large, x)
    grain = draws.normal(x.shape, generator) * some(0, 0.05)
    return torch.where(_some(GRAINY, count, generator), x + grain, x).clamp(0, 1)


class Trainer(running.Averaged):
    """Holds what changes during a run."""

    def __init__(self, run: Run, weights: torch.Tensor):
        """`weights`: of the classes."""
        torch.manual_seed(run.seed)
        super().__init__(Segmenter(len(CLASSES)))
        self.run, self.weights = run, weights

    @property
    def seen(self) -> int:
        return self.step * self.run.batch

    @property
    def share(self) -> float:
        return running.share_done(self.seen, self.run.images)

    def train_step(self, labelled: Labelled) -> dict[str, float]:
        """One update; a flat dict of what happened. A step whose gradient is not finite is left out."""
        rate = self.learn_at(self.run.learning_rate * running.falling(self.share, 0.5))
        x, of = batch_of(labelled, self.run.batch, data.generator_for(self.run.seed, self.step, 0))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.net.logits(x.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), of, self.weights, ignore_index=UNKNOWN)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)):
            self.optimizer.step()
        self.stepped()
        right = (logits.argmax(1) == of)[of != UNKNOWN].float().mean()
        return {"loss": float(loss.detach()), "right": float(right), "rate": rate}


def weights_of(of: np.ndarray) -> torch.Tensor:
    """What each class weighs, so that rare ones count; their mean over all pixels is 1."""
    share = np.bincount(of[of != UNKNOWN], minlength=len(CLASSES)) / max(1, (of != UNKNOWN).sum())
    weights = np.maximum(share, 1e-4) ** -RARE
    return torch.from_numpy((weights / (weights * share).sum()).astype(np.float32))


def train(run: Run) -> Segmenter:
    """Run to the end (or to Ctrl-C / SIGTERM, with a checkpoint)."""
    if run.threads:
        torch.set_num_threads(run.threads)
    run.out.mkdir(parents=True, exist_ok=True)
    labelled = load_labelled(run, "train")
    trainer = Trainer(run, weights_of(labelled.of))
    state_file = run.out / checkpoint.STATE
    if state_file.exists():
        trainer.restore(checkpoint.load_state(state_file))
        print(f"Resumed at {trainer.seen} pictures.")
    way = running.OnTheWay(
        run.out, run.images, lambda: checkpoint.save_state(state_file, trainer.state()), run.checkpoint_minutes,
        counted="images",
    )  # fmt: skip
    running.go(trainer, labelled, way)
    return trainer.ema


def save(net: Segmenter, folder: Path, facts: dict[str, str]) -> Path:
    """`facts` are strings for the file's metadata: what was measured."""
    file = folder / WEIGHTS
    checkpoint.write_tensors(net.state_dict(), file, facts)
    return file


def load(folder: Path) -> tuple[Segmenter, dict[str, str]]:
    """The network of a run, and its facts."""
    file = folder / WEIGHTS
    if not file.is_file():
        raise LapcvaeError(f"There is no segmenter at {folder}.", "Train one: python -m training segmenter")
    net = Segmenter(len(CLASSES))
    return net, checkpoint.read_tensors(net, file)


@torch.no_grad()
def measure(net: Segmenter, labelled: Labelled, count: int = 500) -> dict[str, float]:
    """The share of pixels that get their label, and of each class intersection over union with it."""
    together, either = np.zeros((2, len(CLASSES)))
    right = asked = 0
    for start in range(0, min(count, len(labelled)), 20):
        part = range(start, min(start + 20, count, len(labelled)))
        found = net.logits(labelled.pictures[part]).argmax(1).numpy()
        of = labelled.of[part.start : part.stop]
        known = of != UNKNOWN
        right, asked = right + (found == of)[known].sum(), asked + known.sum()
        for i in range(len(CLASSES)):
            together[i] += ((found == i) & (of == i)).sum()
            either[i] += (((found == i) & known) | (of == i)).sum()
    return {"right": float(right / asked)} | {
        name: float(a / max(1, b)) for name, a, b in zip(CLASSES, together, either)
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a folder of .tar shards of made faces")
    parser.add_argument("--labels", type=Path, required=True, help="their labels (python -m training labels)")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder; a run found there is resumed")
    parser.add_argument("--images", type=int, default=Run.images, help="how many pictures to see (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=Run.batch)
    parser.add_argument("--learning-rate", type=float, default=Run.learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--checkpoint-minutes", type=float, default=Run.checkpoint_minutes)


def run(args: argparse.Namespace) -> int:
    recipe = Run(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Run)})
    net = train(recipe)
    measured = measure(net, load_labelled(recipe, "val"))
    print(json.dumps(measured, indent=1))
    save(net, recipe.out, {name: f"{value:.4f}" for name, value in measured.items()} | {"data": recipe.data.name})
    print(f"The segmenter is in {recipe.out}. Into a bundle: python export_onnx.py -o models/NAME --segmenter {recipe.out}")
    return 0
